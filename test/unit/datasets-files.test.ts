import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cifar10 } from '../../lib/datasets/cifar10.js'
import { idx } from '../../lib/datasets/idx.js'
import { NpyFile } from '../../lib/datasets/npy.js'
import { sprites } from '../../lib/datasets/sprites.js'
import { readTar } from '../../lib/datasets/tar.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'datasets-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function file(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

/** What numpy.save writes: the header padded with spaces to a multiple of 64, ending in a newline. */
function npy(descr: string, shape: readonly number[], data: Uint8Array, { version = 1, fortran = false } = {}): Buffer {
  const order = fortran ? 'True' : 'False'
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const dictionary = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${sizes}), }`
  const prefix = version === 1 ? 10 : 12
  const header = `${dictionary.padEnd(Math.ceil((prefix + dictionary.length + 1) / 64) * 64 - prefix - 1)}\n`
  const start = Buffer.alloc(prefix)
  start.write('\x93NUMPY', 'latin1')
  start[6] = version
  if (version === 1) start.writeUInt16LE(header.length, 8)
  else start.writeUInt32LE(header.length, 8)
  return Buffer.concat([start, Buffer.from(header, 'latin1'), data])
}

describe('npy', () => {
  test.each([1, 2, 3])('version %i is read by offset', async (version) => {
    const path = await file(
      'plain.npy',
      npy(
        '|u1',
        [4, 3],
        Uint8Array.from({ length: 12 }, (_, i) => i),
        { version },
      ),
    )
    const array = await NpyFile.open(path)
    expect(array).toMatchObject({ shape: [4, 3], type: 'uint8', itemBytes: 3, length: 4 })
    expect([...(await array.readItems(2, 2))]).toEqual([6, 7, 8, 9, 10, 11])
    await array.close()
  })

  test.each([
    ['<i8', new BigInt64Array([-3n, 2n ** 40n])],
    ['<f4', new Float32Array([-3, 2 ** 40])],
    ['<f8', new Float64Array([-3, 2 ** 40])],
  ])('%s numbers are little-endian', async (descr, values) => {
    const array = await NpyFile.open(await file('numbers.npy', npy(descr, [2], new Uint8Array(values.buffer))))
    expect([...(await array.readNumbers())]).toEqual([-3, 2 ** 40])
    await array.close()
  })

  test.each([
    ['Fortran order', npy('|u1', [2, 2], new Uint8Array(4), { fortran: true }), 'ascontiguousarray'],
    ['big-endian numbers', npy('>f8', [1], new Uint8Array(8)), '>f8'],
    ['a file cut short', npy('|u1', [2, 2], new Uint8Array(3)), 'asks for 132 bytes but it has 131'],
    ['a structured array', npy("[('a', '<f4')]", [1], new Uint8Array(4)), 'not that of a plain array'],
    ['another format', Buffer.from('PK\x03\x04 something else'), 'does not begin with'],
  ])('%s is refused', async (_name, bytes, reason) => {
    const path = await file('bad.npy', bytes)
    const refused = NpyFile.open(path)
    await expect(refused).rejects.toMatchObject({ code: 'DPM_DATA_INVALID', message: expect.stringContaining(reason) })
    await expect(refused).rejects.toThrow(path)
  })
})

describe('sprites', () => {
  const pixels = Uint8Array.from({ length: 3 * 2 * 2 * 3 }, (_, i) => i)
  const oneHot = new Float64Array([0, 1, 0, 0, 0, /**/ 0, 0, 0, 0, 1, /**/ 1, 0, 0, 0, 0])

  test.each([true, false])('gives planes and classes (in memory: %s)', async (inMemory) => {
    const images = await file('images.npy', npy('|u1', [3, 2, 2, 3], pixels))
    const labels = await file('labels.npy', npy('<f8', [3, 5], new Uint8Array(oneHot.buffer)))
    const dataSet = await sprites.open(sprites.options.parse({ kind: 'sprites', images, labels, inMemory }))
    expect(dataSet).toMatchObject({ length: 3, channels: 3, height: 2, width: 2 })
    expect([0, 1, 2].map((i) => dataSet.classes[dataSet.classOf(i)])).toEqual(['non-hero', 'side-facing', 'hero'])
    const into = new Uint8Array(24)
    await dataSet.read([2, 0], into)
    expect([...into]).toEqual([24, 27, 30, 33, 25, 28, 31, 34, 26, 29, 32, 35, 0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11])
    await dataSet.close()
    await expect(dataSet.read([0], new Uint8Array(12))).rejects.toThrow()
  })

  test('labels that are not one-hot, or too few, are refused by row and shape', async () => {
    const images = await file('images.npy', npy('|u1', [3, 2, 2, 3], pixels))
    const open = async (bytes: Uint8Array): Promise<unknown> => {
      const labels = await file('labels.npy', bytes)
      return sprites.open(sprites.options.parse({ kind: 'sprites', images, labels }))
    }
    const twice = new Float64Array(oneHot)
    twice[9] = 0.5
    await expect(open(npy('<f8', [3, 5], new Uint8Array(twice.buffer)))).rejects.toThrow('row 1')
    await expect(open(npy('<f8', [2, 5], new Uint8Array(oneHot.buffer, 0, 80)))).rejects.toThrow('shape 3×K')
  })

  test('missing files say where they were looked for', async () => {
    const settings = sprites.options.parse({ kind: 'sprites', images: join(folder, 'none.npy') })
    await expect(sprites.open(settings)).rejects.toMatchObject({
      code: 'DPM_DATA_MISSING',
      message: expect.stringContaining('none.npy'),
    })
  })
})

function idxFile(magic: number, sizes: readonly number[], data: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * sizes.length)
  header.writeUInt32BE(magic, 0)
  for (const [i, size] of sizes.entries()) header.writeUInt32BE(size, 4 + 4 * i)
  return Buffer.concat([header, data])
}

describe('idx', () => {
  const images = idxFile(0x803, [2, 2, 3], Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]))
  const labels = idxFile(0x801, [2], Uint8Array.from([9, 0]))

  test('reads the published names, gzipped or plain, and pads with black', async () => {
    const home = join(folder, 'mnist')
    await mkdir(home)
    await writeFile(join(home, 't10k-images-idx3-ubyte.gz'), gzipSync(images))
    await writeFile(join(home, 't10k-labels.idx1-ubyte'), labels)
    const settings = idx.options.parse({ kind: 'idx', folder: home, split: 'test', padding: 1, names: 'fashion' })
    const dataSet = await idx.open(settings)
    expect(dataSet).toMatchObject({ length: 2, channels: 1, height: 4, width: 5 })
    expect(dataSet.classes[dataSet.classOf(0)]).toBe('Ankle boot')
    const into = new Uint8Array(20)
    await dataSet.read([1], into)
    expect([...into]).toEqual([0, 0, 0, 0, 0, 0, 7, 8, 9, 0, 0, 10, 11, 12, 0, 0, 0, 0, 0, 0])
  })

  test('images without labels have no classes', async () => {
    const dataSet = await idx.open(idx.options.parse({ kind: 'idx', images: await file('images.idx', images) }))
    expect([dataSet.classes, dataSet.classOf(1)]).toEqual([[], -1])
  })

  test.each([
    ['labels for images', labels, labels, 'has only 10 bytes'],
    ['images for labels', images, images, 'begins with 0x00000803'],
    ['fewer bytes than the header says', images.subarray(0, 20), labels, 'Expected 28 bytes'],
    ['half a gzip file', gzipSync(images).subarray(0, 20), labels, 'not a whole gzip file'],
    ['gzip of more than the header says', gzipSync(Buffer.concat([images, Buffer.alloc(1e7)])), labels, 'it has more'],
    ['a label too few', images, idxFile(0x801, [1], Uint8Array.from([1])), 'each of the 2 images'],
    ['a label that is no class', images, idxFile(0x801, [2], Uint8Array.from([1, 10])), 'label 1 is 10'],
  ])('%s is refused', async (_name, imageBytes, labelBytes, reason) => {
    const settings = idx.options.parse({
      kind: 'idx',
      images: await file('images.idx', imageBytes),
      labels: await file('labels.idx', labelBytes),
    })
    await expect(idx.open(settings)).rejects.toMatchObject({
      code: 'DPM_DATA_INVALID',
      message: expect.stringContaining(reason),
    })
  })

  test('a folder without the files names them and their page', async () => {
    const settings = idx.options.parse({ kind: 'idx', folder: join(folder, 'empty') })
    await expect(idx.open(settings)).rejects.toMatchObject({
      code: 'DPM_DATA_MISSING',
      message: expect.stringMatching(/train-images-idx3-ubyte\.gz.*empty.*fashion-mnist/),
    })
  })
})

function tarHeader(name: string, size: number, type = '0'): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write('0000644\0', 100)
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
  header.write(type, 156)
  header.write('ustar\x0000', 257)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

function tar(entries: readonly (readonly [name: string, data: Uint8Array, type?: string])[]): Buffer {
  const parts = entries.flatMap(([name, data, type]) => [
    tarHeader(name, data.length, type),
    data,
    Buffer.alloc((512 - (data.length % 512)) % 512),
  ])
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

describe('tar', () => {
  const archive = tar([
    ['a/', Buffer.alloc(0), '5'],
    ['a/unwanted', Buffer.alloc(700, 1)],
    ['a/link', Buffer.alloc(0), '2'],
    ['a/wanted', Buffer.alloc(513, 7)],
  ])
  const read = async (bytes: Uint8Array, pieceBytes = 100): Promise<unknown[]> => {
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
    }
    const entries: unknown[] = []
    for await (const { name, data } of readTar(pieces(), 'x.tar', (wanted) => !wanted.includes('un'), 1000)) {
      entries.push([name, data.length, data[0]])
    }
    return entries
  }

  test.each([1, 100, 512, 10_000])('gives wanted files whole, in pieces of %i bytes', async (pieceBytes) => {
    expect(await read(archive, pieceBytes)).toEqual([['a/wanted', 513, 7]])
  })

  test('refuses a false checksum, an early end and a file that is too large', async () => {
    const false1 = Buffer.from(archive)
    false1[600] = 99
    false1[3] = 99
    await expect(read(false1)).rejects.toThrow('checksum')
    await expect(read(archive.subarray(0, archive.length - 1800))).rejects.toThrow('ends early')
    await expect(read(tar([['big', Buffer.alloc(1001)]]))).rejects.toThrow('more than 1000')
  })
})

describe('cifar10', () => {
  const bytes = 10_000 * 3073
  const testBatch = Buffer.alloc(bytes)
  for (let record = 0; record < 10_000; record++) {
    testBatch[record * 3073] = record % 10
    testBatch[record * 3073 + 1] = record % 256
    testBatch[record * 3073 + 3072] = record % 251
  }
  const meta = Buffer.from('airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n')

  const check = async (path: string): Promise<void> => {
    const dataSet = await cifar10.open(cifar10.options.parse({ kind: 'cifar10', path, split: 'test' }))
    expect(dataSet).toMatchObject({ length: 10_000, channels: 3, height: 32, width: 32 })
    const into = new Uint8Array(3072)
    await dataSet.read([7777], into)
    expect([dataSet.classes[dataSet.classOf(7777)], into[0], into[3071]]).toEqual(['horse', 7777 % 256, 7777 % 251])
  }

  test('reads the unpacked files and the archive alike', async () => {
    const home = join(folder, 'cifar')
    await mkdir(join(home, 'cifar-10-batches-bin'), { recursive: true })
    await writeFile(join(home, 'cifar-10-batches-bin', 'test_batch.bin'), testBatch)
    await check(home)
    await check(join(home, 'cifar-10-batches-bin'))
    const archive = tar([
      ['cifar-10-batches-bin/batches.meta.txt', meta],
      ['cifar-10-batches-bin/test_batch.bin', testBatch],
    ])
    await check(await file('cifar-10-binary.tar.gz', gzipSync(archive, { level: 1 })))
  })

  test('the training split is the five batches in their order', async () => {
    const home = join(folder, 'cifar-train')
    await mkdir(home)
    for (const batch of [1, 2, 3, 4, 5]) {
      const path = join(home, `data_batch_${batch}.bin`)
      await writeFile(path, Uint8Array.of(batch, 10 * batch))
      await truncate(path, bytes)
    }
    const steps: number[] = []
    const settings = cifar10.options.parse({ kind: 'cifar10', path: home })
    const dataSet = await cifar10.open(settings, { progress: (done) => steps.push(done) })
    expect([dataSet.length, steps]).toEqual([50_000, [1, 2, 3, 4, 5]])
    const first = [0, 10_000, 20_000, 30_000, 40_000]
    const images = new Uint8Array(5 * 3072)
    await dataSet.read(first, images)
    expect(first.map((index, i) => [dataSet.classOf(index), images[i * 3072]])).toEqual([
      [1, 10],
      [2, 20],
      [3, 30],
      [4, 40],
      [5, 50],
    ])
  })

  test('a file of another size, an archive cut short and data that is not there say so', async () => {
    const home = join(folder, 'cifar-bad')
    await mkdir(home)
    const open = (split: string, path = home): Promise<unknown> =>
      cifar10.open(cifar10.options.parse({ kind: 'cifar10', path, split }))
    await expect(open('test')).rejects.toMatchObject({
      code: 'DPM_DATA_MISSING',
      message: expect.stringMatching(
        /cifar-10-binary\.tar\.gz, from https:\/\/www\.cs\.toronto\.edu\/~kriz\/cifar\.html/,
      ),
    })
    await writeFile(join(home, 'test_batch.bin'), testBatch)
    await truncate(join(home, 'test_batch.bin'), bytes - 3073)
    await expect(open('test')).rejects.toThrow(`Expected 30730000 bytes (10000 records of 3073)`)
    const cut = await file(
      'cut.tar.gz',
      gzipSync(tar([['x/test_batch.bin', testBatch.subarray(0, 5000)]])).subarray(0, 60),
    )
    await expect(open('test', cut)).rejects.toMatchObject({ code: 'DPM_DATA_INVALID' })
    const other = await file('other.tar.gz', gzipSync(tar([['x/readme', meta]])))
    await expect(open('test', other)).rejects.toThrow('does not contain test_batch.bin')
  })
})
