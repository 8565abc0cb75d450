/** Folders as people have them: files of other kinds, empty and foreign folders, names that are not UTF-8, tables, animations. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DataSet } from '../../lib/datasets/data-set.js'
import { imageFolder } from '../../lib/datasets/image-folder.js'
import { imageExtensions, isForeign } from '../../lib/datasets/picture-files.js'
import { rawName } from '../../lib/files/raw-path.js'
import { MemoryBudget } from '../../lib/images/memory-budget.js'
import { tiffOf, writeTiff } from './tiff-writer.js'

let home: string
let count = 0
let png: Buffer
let jpeg: Buffer
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'picture-folders-'))
  const picture = sharp({ create: { width: 8, height: 8, channels: 3, background: '#c81e5a' } })
  png = await picture.png().toBuffer()
  jpeg = await picture.jpeg().toBuffer()
})
afterAll(() => rm(home, { recursive: true }))

/** Bytes of files by their path; `null` is a folder. */
async function folderOf(files: Readonly<Record<string, Uint8Array | null>>): Promise<string> {
  const folder = join(home, String(count++))
  await mkdir(folder)
  for (const [name, bytes] of Object.entries(files)) {
    const path = join(folder, name)
    await mkdir(bytes ? dirname(path) : path, { recursive: true })
    if (bytes) await writeFile(path, bytes)
  }
  return folder
}

function open(folder: string, options: object = {}): Promise<DataSet> {
  return imageFolder.open(imageFolder.options.parse({ kind: 'image-folder', folder, size: 4, ...options }))
}

async function readAll(dataSet: DataSet, signal?: AbortSignal): Promise<Uint8Array> {
  const indices = Array.from({ length: dataSet.length }, (_, i) => i)
  const images = new Uint8Array(dataSet.length * dataSet.channels * dataSet.height * dataSet.width)
  await dataSet.read(indices, images, signal)
  return images
}

const text = Buffer.from('text')

describe('what is taken as a picture', () => {
  test('every ending of every format that sharp reads from memory', () => {
    const formats = Object.values(sharp.format) as { input: { buffer: boolean; fileSuffix?: string[] }; id: string }[]
    const endings = formats
      .filter(({ input, id }) => input.buffer && id !== 'svg')
      .flatMap(({ input }) => input.fileSuffix ?? [])
    expect(endings.length).toBeGreaterThan(5)
    expect(imageExtensions).toEqual(expect.arrayContaining(endings))
  })

  test('endings in any case of letters, of JPEG all that are in use, none at all; others are counted and said', async () => {
    const folder = await folderOf({
      'a.PNG': png,
      'b.JFIF': jpeg,
      'c.jpe': jpeg,
      'a picture without an ending': png,
      'lies.jpg': png,
      'notes without an ending': text,
      'd.bmp': text,
      'e.BMP': text,
      'f.ppm': text,
      'g.txt': text,
      'h.heic': text,
      '.DS_Store': text,
      'Thumbs.db': text,
      '__MACOSX/._a.png': png,
      '@eaDir/a.png': png,
      '.ipynb_checkpoints/a.png': png,
    })
    const dataSet = await open(folder)
    expect([dataSet.length, dataSet.classes]).toEqual([5, []])
    expect(dataSet.passedOver).toEqual([
      { ending: '.bmp', count: 2, first: 'd.bmp' },
      { ending: '', count: 1, first: 'notes without an ending' },
      { ending: '.heic', count: 1, first: 'h.heic' },
      { ending: '.ppm', count: 1, first: 'f.ppm' },
      { ending: '.txt', count: 1, first: 'g.txt' },
    ])
    const [passed, hidden] = dataSet.remarks ?? []
    expect(passed).toMatch(/^6 files were passed over.*2 \.bmp, 1 without an ending, 1 \.heic, 1 \.ppm, 1 \.txt/)
    expect(hidden).toMatch(/\.DS_Store.*\.ipynb_checkpoints.*@eaDir/)
    await readAll(dataSet)
    expect((await open(await folderOf({ 'a.png': png }))).remarks).toEqual([])
  })

  test('a folder with none says what else is there', async () => {
    const folder = await folderOf({ 'a.bmp': text, 'b.svg': text, '.hidden.png': png })
    await expect(open(folder)).rejects.toThrow(/1 \.bmp, 1 \.svg.*`svg`.*\.hidden\.png/)
  })

  test('a pipe is not waited for', async () => {
    const folder = await folderOf({ 'a.png': png })
    execFileSync('mkfifo', [join(folder, 'b.png')])
    const dataSet = await open(folder)
    expect([dataSet.length, dataSet.passedOver]).toEqual([1, [{ ending: 'pipe or device', count: 1, first: 'b.png' }]])
  })

  test('SVG only where it is asked for, also under another name', async () => {
    const svg = Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>')
    const folder = await folderOf({ 'a.svg': svg, 'b.png': svg, 'c.png': png })
    const without = await open(folder)
    expect([without.length, without.remarks?.[0]]).toEqual([2, expect.stringContaining('`svg`')])
    await expect(readAll(without)).rejects.toThrow(/b\.png: it is an SVG drawing/)
    expect(await readAll(await open(folder, { svg: true }))).toHaveLength(3 * 48)
  })

  test.each<[string, string | Buffer, RegExp]>([
    ['nothing', '', /is empty/],
    ['a web page', '\n<!DOCTYPE html><html>', /web page/],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\n', /Git LFS pointer.*git lfs pull/],
    ['a BMP', 'BM......', /BMP/],
    ['a HEIC', Buffer.from('00000018667479706865696300000000', 'hex'), /HEIC/],
    ['a PDF', '%PDF-1.7', /PDF/],
    ['text', 'some text', /its first bytes are 73 6f 6d 65/],
  ])('a file that ends in .jpg and is %s is told for what it is', async (_, bytes, reason) => {
    const dataSet = await open(await folderOf({ 'a.jpg': Buffer.from(bytes) }))
    await expect(readAll(dataSet)).rejects.toMatchObject({
      code: 'DPM_DATA_INVALID',
      message: expect.stringMatching(reason),
    })
  })
})

describe('class folders without a picture', () => {
  const files = (): Record<string, Uint8Array | null> => ({
    'ants/a.png': png,
    'bees/a.bmp': text,
    'cats/deep/a.png': png,
    dogs: null,
    '__MACOSX/x.png': png,
  })

  test('are named, with what is in them, and what to do', async () => {
    const folder = await folderOf(files())
    await expect(open(folder)).rejects.toMatchObject({
      code: 'DPM_DATA_INVALID',
      message: expect.stringMatching(/2 sub-folders.*bees \(1 \.bmp\), dogs \(empty\).*`emptyClasses`/),
    })
    expect((await open(folder, { classes: 'none' })).remarks).toContain('No picture is in bees, dogs.')
  })

  test('keep their numbers, or have none, as is asked', async () => {
    const folder = await folderOf(files())
    const kept = await open(folder, { emptyClasses: 'keep' })
    expect([kept.classes, kept.classOf(0), kept.classOf(1)]).toEqual([['ants', 'bees', 'cats', 'dogs'], 0, 2])
    const dropped = await open(folder, { emptyClasses: 'drop' })
    expect([dropped.classes, dropped.classOf(1)]).toEqual([['ants', 'cats'], 1])
    for (const dataSet of [kept, dropped]) expect(dataSet.remarks?.at(-1)).toMatch(/bees \(1 \.bmp\), dogs/)
  })

  test('beside loose pictures are no classes', async () => {
    const dataSet = await open(await folderOf({ 'a.png': png, 'notes/a.txt': text }))
    expect([dataSet.length, dataSet.classes]).toEqual([1, []])
  })

  test('of other programs are never classes', () => {
    fc.assert(fc.property(fc.string(), (name) => isForeign(`.${name}`)))
    for (const name of ['__MACOSX', '@eaDir', 'thumbs.DB', '$RECYCLE.BIN', 'lost+found'])
      expect(isForeign(name)).toBe(true)
    for (const name of ['MACOSX', 'eaDir', 'a.ds_store', '_hidden', '0']) expect(isForeign(name)).toBe(false)
  })
})

describe('names that are not UTF-8', () => {
  test('are read, and shown with their bytes', async () => {
    const folder = await folderOf({ 'b/x.png': png })
    const class1 = Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.from([0xe9])])
    mkdirSync(class1)
    writeFileSync(Buffer.concat([class1, Buffer.from('/\xfc.png', 'latin1')]), png)
    writeFileSync(Buffer.concat([class1, Buffer.from('/\xfd.png', 'latin1')]), png.subarray(0, 60))
    const dataSet = await open(folder, { corrupt: 'skip' })
    expect([dataSet.length, dataSet.classes]).toEqual([3, ['b', 'caf\\xE9']])
    await readAll(dataSet)
    expect(dataSet.corrupt.map(({ place }) => place)).toEqual([`${folder}/caf\\xE9/\\xFD.png`])
    rmSync(class1, { recursive: true })
  })

  test('keep what of them is UTF-8', () => {
    expect(rawName(Buffer.from('né\xff', 'utf8'))).toEqual({ text: 'néÿ', bytes: 'néÿ' })
    const bytes = Buffer.concat([
      Buffer.from('日é'),
      Buffer.from([0x80, 0x41]),
      Buffer.from('😀'),
      Buffer.from([0xf0, 0x9f]),
    ])
    expect(rawName(bytes)).toEqual({ text: '日é\\x80A😀\\xF0\\x9F', bytes })
    fc.assert(
      fc.property(fc.string(), (name) => rawName(Buffer.from(name)).bytes === name),
      { numRuns: 50 },
    )
  })
})

describe('tables beside pictures', () => {
  const csv = (lines: string): Buffer => Buffer.from(`file_name,text,label\n${lines}`)

  test('are named where they are not read', async () => {
    const dataSet = await open(await folderOf({ 'a.png': png, 'metadata.csv': csv('a.png,x,y\n') }))
    expect(dataSet.remarks).toEqual([expect.stringMatching(/metadata\.csv.*`classes` "metadata"/)])
  })

  test('give the classes, in folders too', async () => {
    const folder = await folderOf({
      'metadata.csv': csv('a.png,"one, two",dog\nsub/b.png,,cat\ngone.png,,dog\n'),
      'a.png': png,
      'sub/b.png': png,
      'other/c.png': png,
      'other/metadata.jsonl': Buffer.from('{"file_name": "c.png", "label": "cat", "boxes": [1]}\n\n'),
    })
    const dataSet = await open(folder, { classes: 'metadata' })
    expect([dataSet.classes, [0, 1, 2].map((i) => dataSet.classOf(i))]).toEqual([
      ['cat', 'dog'],
      [1, 0, 0],
    ])
    expect(dataSet.remarks?.join()).toMatch(/1 lines? .*gone\.png/)
  })

  test('numbers are classes in the order of their size', async () => {
    const lines = [10, 9, 2].map((label) => JSON.stringify({ file_name: `${label}.png`, digit: label })).join('\n')
    const folder = await folderOf({ '10.png': png, '9.png': png, '2.png': png, 'metadata.jsonl': Buffer.from(lines) })
    const dataSet = await open(folder, { classes: 'metadata', labelColumn: 'digit' })
    expect([dataSet.classes, dataSet.classOf(0)]).toEqual([['2', '9', '10'], 2])
  })

  test.each<[string, Record<string, Buffer>, RegExp]>([
    [
      'a picture without a line',
      { 'metadata.csv': csv('a.png,x,y\n'), 'b.png': Buffer.from('x') },
      /1 of 2 have none.*b\.png/,
    ],
    [
      'another column',
      { 'metadata.csv': Buffer.from('file_name,kind\na.png,x\n') },
      /label in line 2.*file_name, kind.*`labelColumn`/,
    ],
    ['a blank label', { 'metadata.csv': csv('a.png,x,\n') }, /label in line 2/],
    ['two labels', { 'metadata.csv': csv('a.png,x,y\n./a.png,x,z\n') }, /Line 3.*a\.png "z".*"y"/],
    ['no JSON', { 'metadata.jsonl': Buffer.from('{"file_name"\n') }, /[Ll]ine 1/],
    ['no object', { 'metadata.jsonl': Buffer.from('[1]\n') }, /object in line 1/],
    ['no table', {}, /no metadata\.csv or metadata\.jsonl/],
  ])('%s is refused', async (_, files, message) => {
    const folder = await folderOf({ 'a.png': png, ...files })
    await expect(open(folder, { classes: 'metadata' })).rejects.toThrow(message)
  })
})

describe('frames and pages', () => {
  const colours = [Buffer.alloc(192, 10), Buffer.alloc(192, 200)]
  const page = { width: 8, height: 8, bits: [8, 8, 8], format: 1, photometric: 2 }

  async function animations(): Promise<string> {
    const raw = { width: 8, height: 16, channels: 3, pageHeight: 8 } as const
    const frames = sharp(Buffer.concat(colours), { raw })
    return folderOf({
      'a.gif': await frames.clone().gif().toBuffer(),
      'b.png': png,
      'c.tif': writeTiff(colours.map((data) => ({ ...page, data }))),
      'd.webp': await frames.clone().webp({ lossless: true }).toBuffer(),
      'e.gif': Buffer.from('GIF89a'),
    })
  }

  test('the first is read, and that there are more is said', async () => {
    const dataSet = await open(await animations(), { corrupt: 'skip' })
    expect([dataSet.length, dataSet.remarks]).toEqual([5, []])
    await readAll(dataSet)
    expect(dataSet.remarks).toEqual([
      expect.stringMatching(/more than one frame.*`frames` "all".*(a\.gif|c\.tif|d\.webp)/),
    ])
  })

  test('or each is an example', async () => {
    const dataSet = await open(await animations(), { corrupt: 'skip', frames: 'all' })
    expect(dataSet.length).toBe(8)
    const images = await readAll(dataSet)
    for (const first of [0, 3, 5]) {
      expect(images[first * 48], String(first)).toBeLessThan(30)
      expect(images[(first + 1) * 48], String(first)).toBeGreaterThan(180)
    }
    expect([dataSet.remarks, dataSet.corrupt.map(({ index }) => index)]).toEqual([[], [7]])
  })
})

describe('colour as grey', () => {
  test("luma is Pillow's mode L to the bit, luminance that of linear light; which it is, is said", async () => {
    // round((19595 R + 38470 G + 7471 B) / 65536), computed by hand.
    const colours = [
      [255, 0, 0, 76],
      [0, 255, 0, 150],
      [0, 0, 255, 29],
      [200, 30, 90, 88],
      [77, 77, 77, 77],
    ] as const
    for (const [r, g, b, luma] of colours) {
      const bytes = await sharp({ create: { width: 4, height: 4, channels: 3, background: { r, g, b } } })
        .png()
        .toBuffer()
      const folder = await folderOf({ 'a.png': bytes })
      const dataSet = await open(folder, { channels: 1, grey: 'luma' })
      expect([...(await readAll(dataSet))]).toEqual(new Array(16).fill(luma))
      expect(dataSet.remarks).toEqual([expect.stringContaining("Pillow's mode L")])
      const linear = 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b)
      const [first = 0] = await readAll(await open(folder, { channels: 1 }))
      expect(Math.abs(first - coded(linear))).toBeLessThanOrEqual(1)
    }
  })

  const light = (value: number): number => (value > 10 ? ((value / 255 + 0.055) / 1.055) ** 2.4 : value / 255 / 12.92)
  const coded = (value: number): number =>
    255 * (value > 0.0031308 ? 1.055 * value ** (1 / 2.4) - 0.055 : 12.92 * value)
})

describe('limits', () => {
  /** A PNG that says it is large; its one line of pixels is never looked at. */
  const claims = (width: number, height: number): Buffer => {
    const bytes = Buffer.from(png)
    bytes.writeUInt32BE(width, 16)
    bytes.writeUInt32BE(height, 20)
    return bytes
  }

  test('a picture of too many pixels is told so with the limit and the option, never called corrupt', async () => {
    const folder = await folderOf({ 'a.png': png, 'b.png': claims(17_000, 17_000) })
    await expect(readAll(await open(folder))).rejects.toThrow(
      /b\.png: it has 17,000×17,000 pixels.*67,108,864.*`maxPixels`/,
    )
    const skipping = await open(folder, { corrupt: 'skip' })
    await readAll(skipping)
    expect(skipping.corrupt).toEqual([
      { index: 1, place: join(folder, 'b.png'), reason: expect.stringMatching(/17,000×17,000 pixels.*`maxPixels`/) },
    ])
    await expect(readAll(await open(folder, { maxPixels: 63 }))).rejects.toThrow(/a\.png: it has 8×8 pixels/)
    const wide = await sharp({ create: { width: 3000, height: 1500, channels: 3, background: '#fff' } })
      .jpeg()
      .toBuffer()
    const large = await folderOf({ 'a.jpg': wide, 'b.webp': await sharp(wide).webp({ effort: 0 }).toBuffer() })
    for (const index of [0, 1]) {
      const dataSet = await open(large, { maxPixels: 1e6 })
      await expect(dataSet.read([index], new Uint8Array(48))).rejects.toThrow(/it has 3,000×1,500 pixels/)
    }
    expect((await readAll(await open(large)))[0]).toBe(255)
  })

  test('where no picture can be used, the reason of the first is told', async () => {
    const folder = await folderOf({ 'a.png': claims(17_000, 17_000), 'b.png': text })
    await expect(readAll(await open(folder, { corrupt: 'skip' }))).rejects.toThrow(
      /No picture in .* can be used; the first of them is .*a\.png: it has 17,000×17,000 pixels.*\. Raise `maxPixels`, or make it smaller first\./,
    )
    const floats = await folderOf({ 'a.tif': tiffOf(new Float64Array(64), 8) })
    await expect(readAll(await open(floats))).rejects.toThrow(
      /Cannot use .*a\.tif: its samples are floating point of 64 bits\. Save it/,
    )
  })

  test('pieces of work share memory: in their order, what is too large alone', async () => {
    const budget = new MemoryBudget(100)
    let [used, most] = [0, 0]
    const begun: number[] = []
    const sizes = [60, 60, 30, 500, 10, 90, 100, 1]
    await Promise.all(
      sizes.map((size, index) =>
        budget
          .run(size, async () => {
            begun.push(index)
            used += Math.min(size, 100)
            most = Math.max(most, used)
            await new Promise((resolve) => setTimeout(resolve, 2))
            used -= Math.min(size, 100)
            if (index === 1) throw new Error('a failure gives its share back')
          })
          .catch(() => undefined),
      ),
    )
    expect([begun, most <= 100, used]).toEqual([sizes.map((_, index) => index), true, 0])
  })

  test('an abort is heard while a decoder runs', async () => {
    const large = await sharp({ create: { width: 2500, height: 2500, channels: 3, background: '#abc' } })
      .png({ compressionLevel: 0, progressive: true })
      .toBuffer()
    const dataSet = await open(await folderOf({ 'a.png': large }), { size: 64 })
    const read = async (stop?: AbortController): Promise<number> => {
      const begun = performance.now()
      const reading = readAll(dataSet, stop?.signal)
      if (stop) setTimeout(() => stop.abort(), 20)
      await (stop ? expect(reading).rejects.toMatchObject({ code: 'DPM_ABORTED' }) : reading)
      return performance.now() - begun
    }
    const whole = await read()
    expect(await read(new AbortController())).toBeLessThan(Math.max(100, whole / 2))
  })
})

test('a folder that vanishes while it is looked through, and a circle of links, are no crash', async () => {
  const folder = await folderOf({ 'a/b/c.png': png })
  await symlink('../..', join(folder, 'a', 'b', 'up'))
  await symlink('nowhere', join(folder, 'a', 'lost'))
  await symlink(join(folder, 'a', 'b', 'loop.png'), join(folder, 'a', 'b', 'loop.png'))
  const dataSet = await open(folder, { corrupt: 'skip' })
  await readAll(dataSet)
  expect([dataSet.length, dataSet.corrupt[0]?.reason]).toEqual([2, expect.stringContaining('ELOOP')])
  await rm(join(folder, 'a', 'b', 'c.png'))
  const again = await open(folder)
  await expect(again.read([0], new Uint8Array(48))).rejects.toMatchObject({ code: 'DPM_DATA_INVALID' })
})
