import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { DataSet } from '../../lib/datasets/data-set.js'
import { imageFolder } from '../../lib/datasets/image-folder.js'

let home: string
let count = 0
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'image-folder-'))
})
afterAll(() => rm(home, { recursive: true }))

type Colour = readonly [red: number, green: number, blue: number]

/** A picture whose left half is one colour and whose right half another. */
async function halves(left: Colour, right: Colour, width = 8, height = 8): Promise<Buffer> {
  const pixels = Array.from({ length: width * height }, (_, i) => (i % width < width / 2 ? left : right)).flat()
  return sharp(Uint8Array.from(pixels), { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer()
}

async function folderOf(files: Readonly<Record<string, Uint8Array>>): Promise<string> {
  const folder = join(home, String(count++))
  await mkdir(folder)
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), bytes)
  }
  return folder
}

function open(folder: string, options: object = {}): Promise<DataSet> {
  return imageFolder.open(imageFolder.options.parse({ kind: 'image-folder', folder, size: 8, ...options }))
}

/** Red, green and blue of a pixel of one example. */
async function pixel(dataSet: DataSet, index: number, y: number, x: number): Promise<number[]> {
  const { channels, height, width } = dataSet
  const image = new Uint8Array(channels * height * width)
  await dataSet.read([index], image)
  return Array.from({ length: channels }, (_, channel) => image[(channel * height + y) * width + x] ?? -1)
}

const red: Colour = [255, 0, 0]
const blue: Colour = [0, 0, 255]

describe('classes and order', () => {
  test('sub-folders are classes, in the order of their names, whatever their depth and case of ending', async () => {
    const picture = await halves(red, blue)
    const folder = await folderOf({
      'dog/b.png': picture,
      'cat/z.PNG': picture,
      'cat/deep/a.png': picture,
      'cat/.hidden.png': picture,
      'cat/notes.txt': Buffer.from('not a picture'),
    })
    const dataSet = await open(folder)
    expect(dataSet.classes).toEqual(['cat', 'dog'])
    expect([0, 1, 2].map((i) => dataSet.classOf(i))).toEqual([0, 0, 1])
    expect((await open(folder, { classes: 'none' })).classes).toEqual([])
    expect((await open(join(folder, 'dog'))).classes).toEqual([])
  })

  test('a picture beside the class folders is named', async () => {
    const picture = await halves(red, blue)
    const folder = await folderOf({ 'cat/a.png': picture, 'loose.png': picture })
    await expect(open(folder)).rejects.toThrow('loose.png')
    expect((await open(folder, { recursive: false })).length).toBe(1)
  })

  test('links to folders are followed, and links that go round in a circle end', async () => {
    const folder = await folderOf({ 'cat/a.png': await halves(red, blue) })
    await symlink('..', join(folder, 'cat', 'up'))
    await symlink(join(folder, 'cat'), join(folder, 'dog'))
    const dataSet = await open(folder)
    expect([dataSet.length, dataSet.classes]).toEqual([2, ['cat', 'dog']])
  })

  test('an empty or absent folder says what was looked for, and where', async () => {
    const folder = await folderOf({ 'notes.txt': Buffer.from('x') })
    await expect(open(folder)).rejects.toMatchObject({
      code: 'DPM_DATA_INVALID',
      message: expect.stringMatching(/image-folder.*\.jpg, \.jpeg/),
    })
    await expect(open(join(folder, 'none'))).rejects.toMatchObject({ code: 'DPM_DATA_MISSING' })
  })
})

describe('decoding', () => {
  test.each([
    // Of a 16×8 picture whose left half is red, the middle 8×8 is half red; stretched too; contained it has white bars.
    ['center-crop', 0, 0, red],
    ['center-crop', 7, 7, blue],
    ['stretch', 4, 0, red],
    ['contain', 0, 0, [255, 255, 255]],
    ['contain', 4, 0, red],
  ])('fit %s at %i, %i', async (fit, y, x, colour) => {
    const folder = await folderOf({ 'wide.png': await halves(red, blue, 16, 8) })
    expect(await pixel(await open(folder, { fit, kernel: 'nearest' }), 0, y, x)).toEqual([...colour])
  })

  test('one channel is luminance, and grey becomes three equal channels', async () => {
    const grey = await sharp(new Uint8Array(64).fill(77), { raw: { width: 8, height: 8, channels: 1 } })
      .png()
      .toBuffer()
    const folder = await folderOf({ 'a-grey.png': grey, 'b-white.png': await halves([255, 255, 255], [0, 0, 0]) })
    expect(await pixel(await open(folder), 0, 4, 4)).toEqual([77, 77, 77])
    const single = await open(folder, { channels: 1 })
    expect(single.channels).toBe(1)
    expect([await pixel(single, 0, 0, 0), await pixel(single, 1, 0, 0), await pixel(single, 1, 0, 7)]).toEqual([
      [77],
      [255],
      [0],
    ])
  })

  test('alpha is laid on the background, 16 bits become 8, CMYK becomes sRGB', async () => {
    const half = Uint8Array.from(Array.from({ length: 64 }, () => [255, 0, 0, 128]).flat())
    const deep = Uint16Array.from({ length: 192 }, () => 0x8080)
    const folder = await folderOf({
      'a-alpha.png': await sharp(half, { raw: { width: 8, height: 8, channels: 4 } })
        .png()
        .toBuffer(),
      'b-deep.png': await sharp(deep, { raw: { width: 8, height: 8, channels: 3 } })
        .toColourspace('rgb16')
        .png()
        .toBuffer(),
      'c-cmyk.jpg': await sharp(await halves(red, red))
        .toColourspace('cmyk')
        .jpeg()
        .toBuffer(),
    })
    const dataSet = await open(folder, { background: '#000000' })
    expect(await pixel(dataSet, 0, 4, 4)).toEqual([128, 0, 0])
    expect(await pixel(dataSet, 1, 4, 4)).toEqual([128, 128, 128])
    const [r = 0, g = 255, b = 255] = await pixel(dataSet, 2, 4, 4)
    expect(r > 180 && g < 80 && b < 80).toBe(true)
  })

  test('photographs stand upright as EXIF says, unless told otherwise', async () => {
    // Orientation 3 turns by 180°: the red half comes to the right.
    const turned = await sharp(await halves(red, blue))
      .withMetadata({ orientation: 3 })
      .png()
      .toBuffer()
    const folder = await folderOf({ 'turned.png': turned })
    expect(await pixel(await open(folder), 0, 4, 7)).toEqual([...red])
    expect(await pixel(await open(folder, { autoOrient: false }), 0, 4, 7)).toEqual([...blue])
  })
})

describe('corrupt pictures', () => {
  const colours: readonly Colour[] = [red, [0, 255, 0], blue]
  let folder: string
  beforeAll(async () => {
    const [first, second, third] = await Promise.all(colours.map((colour) => halves(colour, colour)))
    folder = await folderOf({
      'a/1.png': first ?? Buffer.alloc(0),
      'a/2.png': (second ?? Buffer.alloc(0)).subarray(0, 50),
      'a/3.png': Buffer.alloc(0),
      'b/1.png': third ?? Buffer.alloc(0),
    })
    await symlink('nowhere.png', join(folder, 'b', '2.png'))
  })

  test('stop the work and are named', async () => {
    const dataSet = await open(folder)
    await expect(pixel(dataSet, 1, 0, 0)).rejects.toMatchObject({
      code: 'DPM_DATA_INVALID',
      message: expect.stringContaining(join('a', '2.png')),
    })
    expect(dataSet.corrupt).toEqual([])
  })

  test('or are recorded once, and replaced by the next good one of their class', async () => {
    const dataSet = await open(folder, { corrupt: 'skip' })
    const images = new Uint8Array(5 * 192)
    for (let round = 0; round < 2; round++) {
      await dataSet.read([4, 3, 2, 1, 0], images)
      const colour = (slot: number): number[] => [0, 64, 128].map((offset) => images[slot * 192 + offset] ?? -1)
      expect([0, 1, 2, 3, 4].map(colour)).toEqual([blue, blue, red, red, red].map((c) => [...c]))
      expect(dataSet.corrupt.map(({ index }) => index)).toEqual([1, 2, 4])
    }
    expect(dataSet.corrupt[0]?.place).toBe(join(folder, 'a', '2.png'))
    expect(dataSet.corrupt.every(({ reason }) => reason.length > 0)).toBe(true)
  })

  test('where a class has no good one, its name is told', async () => {
    const bad = await folderOf({ 'cat/1.png': Buffer.from('x'), 'dog/1.png': await halves(red, red) })
    await expect(pixel(await open(bad, { corrupt: 'skip' }), 0, 0, 0)).rejects.toThrow('class cat')
  })
})

test('reading turns off what libvips remembers, once: who turns it on again keeps it', async () => {
  const dataSet = await open(await folderOf({ 'a.png': await halves(red, blue) }))
  sharp.cache(true)
  vi.resetModules()
  const { loadSharp } = await import('../../lib/images/load-sharp.js')
  await loadSharp()
  expect(sharp.cache().items.max).toBe(0)
  sharp.cache({ items: 7 })
  await loadSharp()
  expect(await pixel(dataSet, 0, 0, 0)).toEqual([...red])
  expect(sharp.cache().items.max).toBe(7)
})
