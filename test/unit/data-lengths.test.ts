/** What a data file claims is held against what backs it before room is made, and opening hears its signal at every byte. */
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGzip, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { allocate } from '../../lib/datasets/allocate.js'
import { batchOrder } from '../../lib/datasets/batches.js'
import { dataSchema, openDataSet } from '../../lib/datasets/list.js'
import { NpyFile } from '../../lib/datasets/npy.js'
import { readTar } from '../../lib/datasets/tar.js'
import { DpmError } from '../../lib/errors.js'
import type { DataSet } from '../../lib/index.js'
import { parseOptions } from '../../lib/options/options.js'

const folder = mkdtempSync(join(tmpdir(), 'dpm-lengths-'))
afterAll(() => rmSync(folder, { recursive: true }))

function put(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

const open = (options: Record<string, unknown>, signal?: AbortSignal): Promise<DataSet> =>
  openDataSet(parseOptions(dataSchema, options, 'test'), { signal })

function npy(description: string, shape: string, data: Uint8Array = new Uint8Array(0)): Buffer {
  const header = `${`{'descr': ${description}, 'fortran_order': False, 'shape': ${shape}, }`.padEnd(117)}\n`
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\0\x76\0', 'latin1'), Buffer.from(header), data])
}

function idx(sizes: readonly number[], data: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * sizes.length)
  header.writeUInt32BE(0x800 + sizes.length)
  for (const [i, size] of sizes.entries()) header.writeUInt32BE(size, 4 + 4 * i)
  return Buffer.concat([header, data])
}

describe('npy', () => {
  test.each([
    ['(0, 300000000)', 'has no rows'],
    ['(0, 9000000000)', 'has no rows'],
    ['(0, 99999999999999999999)', 'has no rows'],
    ['(1000000000, 0)', 'has no columns'],
    ['(0,)', 'has no rows'],
    ['(2, 0, 3)', 'it has shape 2×0×3'],
    ['(1, 3000000)', 'Expected at most 1000000 columns', 24_000_000],
    ['(1000000000000,)', 'asks for 8000000000128 bytes but it has 128'],
  ] as readonly [string, string, number?][])('of shape %s is refused at once', async (shape, message, bytes = 0) => {
    const file = put('empty.npy', npy("'<f8'", shape, new Uint8Array(bytes)))
    const begun = performance.now()
    await expect(open({ kind: 'table', file })).rejects.toThrow(message)
    expect(performance.now() - begun).toBeLessThan(2000)
  })

  test('without a shape is a single number', async () => {
    const file = put('single.npy', npy("'<f8'", '()', new Uint8Array(8)))
    await expect(open({ kind: 'table', file })).rejects.toThrow('a single number, without a shape')
  })

  test('that is larger than the machine, a file with holes, is no room', async () => {
    const file = put('holes.npy', npy("'|u1'", '(4000000000000,)'))
    truncateSync(file, 128 + 4e12)
    await expect(open({ kind: 'table', file })).rejects.toMatchObject({ code: 'DPM_OUT_OF_MEMORY' })
    rmSync(file)
  })

  test.each([
    ["'|b1'", Uint8Array.of(1, 0), [1, 0]],
    ["'|i1'", Int8Array.of(-3, 5), [-3, 5]],
    ["'<u2'", Uint16Array.of(65535, 5), [65535, 5]],
    ["'<i2'", Int16Array.of(-32768, 5), [-32768, 5]],
    ["'<u4'", Uint32Array.of(2 ** 32 - 1, 5), [2 ** 32 - 1, 5]],
    ["'<i4'", Int32Array.of(-(2 ** 31), 5), [-(2 ** 31), 5]],
    ["'<u8'", BigUint64Array.of(2n ** 63n, 5n), [2 ** 63, 5]],
    // numpy.array([1, -2.5, 65504, 2**-24, 0.1], 'e').view('u2')
    ["'<f2'", Uint16Array.of(0x3c00, 0xc100, 0x7bff, 0x0001, 0x2e66), [1, -2.5, 65504, 2 ** -24, 0.0999755859375]],
    ["'<f2'", Uint16Array.of(0x7c00, 0xfc00), [Infinity, -Infinity]],
  ] as const)('%s is read', async (description, values, expected) => {
    const bytes = new Uint8Array(values.buffer)
    const file = await NpyFile.open(put('typed.npy', npy(description, `(${expected.length},)`, bytes)))
    expect([...(await file.readNumbers())]).toEqual(expected)
    await file.close()
  })

  test.each([
    ["'|O'", 'Python objects, which are pickled'],
    ["'<c8'", 'complex numbers'],
    ["'<U5'", 'texts'],
    ["'>f4'", 'big-endian'],
    ["'<M8[ns]'", 'dates'],
    ["[('a', '<f4'), ('b', '<i4')]", 'records of several fields'],
  ])('%s is named', async (description, message) => {
    await expect(NpyFile.open(put('named.npy', npy(description, '(0,)')))).rejects.toThrow(message)
  })

  test('another format of that name is told for what it is', async () => {
    await expect(NpyFile.open(put('other.npy', 'PK\x03\x04 and so on'))).rejects.toThrow('zip archive')
    await expect(open({ kind: 'table', file: 'a.npz' })).rejects.toThrow('save one with `numpy.save`')
    await expect(open({ kind: 'table', file: 'a.xlsx' })).rejects.toThrow('Save the sheet as CSV')
  })
})

describe('text that costs more than its length', () => {
  const million = 1_000_000

  test.each([
    ['digits that end in a letter', `x\n${'1'.repeat(million)}z\n`, 'Expected a finite number'],
    ['quotes inside a cell', `x\na${'"'.repeat(million)}\n`, 'Expected a finite number'],
    ['a line of separators', `${','.repeat(million)}\n1\n`, 'more than 1000000 cells'],
    ['a cell without end', `x\n"${'12345678'.repeat(2 ** 21)}\n1`, 'Does its quote end?'],
    ['thousands', `x;y\n1${',000'.repeat(million / 4)}z;1\n`, 'Expected a finite number'],
    ['names and none', `${'a,'.repeat(200)}${','.repeat(30_000)}b\n${'1,'.repeat(30_200)}1\n`, 'there are two "a"'],
    ['cells of blanks', `x\n${' '.repeat(million)}z\n`, 'Expected a finite number'],
  ])('%s is refused in time', async (_, text, message) => {
    const begun = process.cpuUsage()
    await expect(open({ kind: 'table', file: put('costly.csv', text) })).rejects.toThrow(message)
    expect(process.cpuUsage(begun).user / 1e6).toBeLessThan(5)
  })
})

describe('idx', () => {
  test('is padded as it is read: a small file does not fill the memory', async () => {
    const count = 2 ** 24
    const images = put('many.gz', gzipSync(idx([count, 1, 1], Buffer.alloc(count, 9)), { level: 9 }))
    const dataSet = await open({ kind: 'idx', images, padding: 64 })
    expect(dataSet).toMatchObject({ length: count, height: 129, width: 129 })
    const into = new Uint8Array(2 * 129 * 129)
    await dataSet.read([0, count - 1], into)
    expect(into[64 * 129 + 64]).toBe(9)
    expect(into.reduce((sum, value) => sum + value, 0)).toBe(18)
  })

  test('any padding is black around each picture', async () => {
    const sizes = fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
    )
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 0, max: 3 }), async ([count, height, width], padding) => {
        const values = Uint8Array.from({ length: count * height * width }, (_, i) => 1 + i)
        const dataSet = await open({ kind: 'idx', images: put('p.idx', idx([count, height, width], values)), padding })
        const [tall, wide] = [height + 2 * padding, width + 2 * padding]
        const into = new Uint8Array(count * tall * wide).fill(77)
        await dataSet.read([...Array(count).keys()], into)
        const expected = Array.from(into, (_, at) => {
          const [image, y, x] = [
            Math.floor(at / (tall * wide)),
            (Math.floor(at / wide) % tall) - padding,
            (at % wide) - padding,
          ]
          const inside = y >= 0 && y < height && x >= 0 && x < width
          return inside ? (values[(image * height + y) * width + x] ?? 0) : 0
        })
        expect([...into]).toEqual(expected)
      }),
      { numRuns: 40 },
    )
  })

  test('that unpacks to far more than it is asks for gunzip', async () => {
    const values = 2 ** 27
    const packed = gzipSync(Buffer.concat([idx([values, 1, 1], Buffer.alloc(1000))]))
    await expect(open({ kind: 'idx', images: put('bomb.gz', packed) })).rejects.toThrow('Unpack it with gunzip')
  })

  test('that claims more than it has is refused before room is made', async () => {
    const images = put('claims.idx', idx([2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], Buffer.alloc(9)))
    await expect(open({ kind: 'idx', images })).rejects.toThrow('but it has 25')
  })
})

test('what a machine cannot hold is DPM_OUT_OF_MEMORY, never a RangeError', () => {
  for (const length of [1e12, 1e15, 2 ** 53, Infinity]) {
    expect(() => allocate(Uint8Array, length, 'it')).toThrow(expect.objectContaining({ code: 'DPM_OUT_OF_MEMORY' }))
  }
  expect(() => batchOrder(10, 1e13, 0, 0)).toThrow(expect.objectContaining({ code: 'DPM_OUT_OF_MEMORY' }))
  expect(allocate(Float32Array, 3, 'it')).toEqual(new Float32Array(3))
})

describe('the signal is heard', () => {
  /** A tar header of an unwanted file. */
  const header = (size: number): Buffer => {
    const block = Buffer.alloc(512)
    block.write('unwanted', 0)
    block.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
    block.write('0', 156)
    block.fill(' ', 148, 156)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    return block
  }

  test('while members of an archive are passed over', async () => {
    // A member of 4 GB in 4 MB.
    const size = 2 ** 32
    const packer = createGzip({ level: 1 })
    const packed: Buffer[] = []
    packer.on('data', (piece: Buffer) => packed.push(piece))
    packer.write(header(size))
    const zeros = Buffer.alloc(2 ** 24)
    for (let i = 0; i < 8; i++) await new Promise((resolve) => packer.write(zeros, resolve))
    await new Promise<void>((resolve) => packer.flush(() => resolve()))
    const path = put('cifar-10-binary.tar.gz', Buffer.concat(packed))
    packer.destroy()
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 5)
    await expect(open({ kind: 'cifar10', path }, stop.signal)).rejects.toMatchObject({ code: 'DPM_ABORTED' })
  })

  test('by a tar of any source', async () => {
    const stop = new AbortController()
    async function* source(): AsyncGenerator<Uint8Array> {
      yield header(2 ** 33)
      for (let i = 0; ; i++) {
        if (i === 3) stop.abort()
        if (i > 10) throw new Error('read on')
        yield new Uint8Array(1000)
      }
    }
    const reading = readTar(source(), 'x.tar', () => false, 10, stop.signal).next()
    await expect(reading).rejects.toMatchObject({ code: 'DPM_ABORTED' })
  })

  test.each([
    ['a table', () => ({ kind: 'table', file: put('long.csv', '1.5,2.25,3\n'.repeat(300_000)) })],
    ['an .npy', () => ({ kind: 'table', file: put('long.npy', npy("'|u1'", '(4000000,)', new Uint8Array(4e6))) })],
    [
      'a gzip file',
      () => ({ kind: 'idx', images: put('long.gz', gzipSync(idx([2 ** 25, 1, 1], Buffer.alloc(2 ** 25)))) }),
    ],
  ])('by %s, and the event loop has its turns', async (_, make) => {
    const options = make()
    const stop = new AbortController()
    let turns = 0
    const timer = setInterval(() => {
      if (++turns === 3) stop.abort(new Error('enough'))
    }, 1)
    const refused = await open(options, stop.signal).catch((error: unknown) => error)
    clearInterval(timer)
    expect(refused).toBeInstanceOf(DpmError)
    expect(refused).toMatchObject({ code: 'DPM_ABORTED', cause: expect.objectContaining({ message: 'enough' }) })
  })

  test('before anything is read', async () => {
    const home = join(folder, 'cifar')
    mkdirSync(home)
    for (const options of [
      { kind: 'table', file: put('a.csv', '1,2\n') },
      { kind: 'table', file: put('a.npy', npy("'<f8'", '(1,)', new Uint8Array(8))) },
      { kind: 'idx', images: put('a.idx', idx([1, 1, 1], Buffer.alloc(1))) },
    ]) {
      await expect(open(options, AbortSignal.abort())).rejects.toMatchObject({ code: 'DPM_ABORTED' })
    }
  })
})
