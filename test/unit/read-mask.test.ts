/** A mask lies on its picture: one crop for both, and what it does is said. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readMasked } from '../../lib/images/read-mask.js'
import { middleOf, notesOf, openPictureFile, readPicture } from '../../lib/images/read-picture.js'

const folder = mkdtempSync(join(tmpdir(), 'read-mask-'))
afterAll(() => rmSync(folder, { recursive: true }))
const at = (name: string): string => join(folder, name)
const model = { channels: 3, height: 8, width: 8 }

type Pixel = readonly number[]
/** Writes a picture whose pixel at (x, y) is given. */
async function write(
  name: string,
  width: number,
  height: number,
  pixel: (x: number, y: number) => Pixel,
): Promise<string> {
  const values = Array.from({ length: width * height }, (_, i) => pixel(i % width, Math.floor(i / width)))
  const channels = (values[0]?.length ?? 1) as 1 | 3 | 4
  const raw = { width, height, channels }
  await sharp(Buffer.from(values.flat()), { raw }).toFile(at(name))
  return at(name)
}

let square: string
let wide: string
beforeAll(async () => {
  square = await write('square.png', 8, 8, (x) => [30 * x, 0, 0])
  wide = await write('wide.png', 16, 8, (x) => [15 * x, 0, 0])
})

describe('refused', () => {
  test.each<[string, number, number, (x: number, y: number) => Pixel, RegExp]>([
    ['of other sides', 8, 8, (x) => [x < 4 ? 255 : 0], /same sides as the picture of --known, 16×8 .* of 8×8"/],
    ['with its sides changed', 8, 16, (x) => [x < 4 ? 255 : 0], /same sides .* of 8×16"/],
    ['one pixel wider', 17, 8, (x) => [x < 4 ? 255 : 0], /same sides .* of 17×8"/],
    ['black everywhere', 16, 8, () => [0], /which is black everywhere/],
    ['with a hole outside of the middle alone', 16, 8, (x) => [x < 4 ? 255 : 0], /lies outside/],
    ['transparent', 16, 8, (x) => [0, 0, 0, x < 8 ? 0 : 255], /without transparent pixels/],
  ])('%s', async (name, width, height, pixel, message) => {
    const mask = await write(`${name}.png`, width, height, pixel)
    await expect(readMasked(wide, mask, model)).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringMatching(message),
    })
  })

  test('no picture, and none at all', async () => {
    await expect(readMasked(wide, at('nowhere.png'), model)).rejects.toMatchObject({ code: 'DPM_FILE_MISSING' })
  })
})

describe('taken', () => {
  test('cropped with its picture: the hole stays where it was drawn', async () => {
    const mask = await write('hole.png', 16, 8, (x, y) => [x >= 6 && x < 8 && y < 3 ? 255 : 0])
    const taken = await readMasked(wide, mask, model)
    const expected = Array.from({ length: 64 }, (_, i) => ([2, 3].includes(i % 8) && i < 24 ? 1 : 0))
    expect([...taken.mask]).toEqual(expected)
    expect([...taken.known.data.slice(0, 8)]).toEqual([4, 5, 6, 7, 8, 9, 10, 11].map((x) => 15 * x))
    expect(taken.notes).toEqual(["--known: of 16×8 pixels the middle 8×8 is taken, as the model's images are 8×8."])
  })

  test('a part of the hole that lies outside is named', async () => {
    const mask = await write('far.png', 16, 8, (x) => [x < 8 ? 255 : 0])
    expect((await readMasked(wide, mask, model)).notes.join()).toMatch(/50 % of what it draws lies outside/)
  })

  test('of 0 and 1 it is black and white, and said', async () => {
    const mask = await write('ones.png', 8, 8, (x) => [x < 4 ? 1 : 0])
    const { mask: shares, notes } = await readMasked(square, mask, model)
    expect([...shares.slice(0, 8)]).toEqual([1, 1, 1, 1, 0, 0, 0, 0])
    expect(notes.join()).toMatch(/no values but 0 and 1/)
  })

  test('white everywhere, greys and colours are said', async () => {
    const notesFor = async (name: string, pixel: (x: number) => Pixel) =>
      (await readMasked(square, await write(name, 8, 8, pixel), model)).notes.join()
    expect(await notesFor('white.png', () => [255])).toMatch(/nothing of --known is kept/)
    expect(await notesFor('grey.png', (x) => [x < 4 ? 128 : 0])).toMatch(/50 % of it is grey/)
    const red = await write('red.png', 8, 8, (x) => (x < 4 ? [255, 0, 0] : [0, 0, 0]))
    const { mask, notes } = await readMasked(square, red, model)
    expect(notes.join()).toMatch(/colours count by their brightness/)
    // 0.299 of 255, as Pillow's mode L has it.
    expect(mask[0]).toBe(76 / 255)
  })

  test('of the same proportions, but larger', async () => {
    const mask = await write('large.png', 64, 32, (x) => [x >= 16 && x < 32 ? 255 : 0])
    const { mask: shares } = await readMasked(wide, mask, model)
    expect([...shares.slice(0, 8)]).toEqual([1, 1, 1, 1, 0, 0, 0, 0])
  })

  test('picture and mask turned alike by their orientation', async () => {
    const turned = async (name: string, pixel: (x: number, y: number) => Pixel) => {
      const file = await write(`upright-${name}`, 8, 16, pixel)
      await sharp(file).withMetadata({ orientation: 6 }).toFile(at(name))
      return at(name)
    }
    const known = await turned('turned.png', (x, y) => [10 * y, 0, 20 * x])
    const mask = await turned('turned-mask.png', (_, y) => [y < 8 ? 255 : 0])
    const taken = await readMasked(known, mask, model)
    expect([...taken.mask.slice(0, 8)].sort()).toEqual([0, 0, 0, 0, 1, 1, 1, 1])
    // The same mask on the picture as it lies is of other sides.
    await expect(readMasked(known, at('upright-turned-mask.png'), model)).rejects.toThrow(/same sides/)
  })
})

describe('a picture for a model', () => {
  test('that is not square: its middle of those proportions', async () => {
    const images = await readPicture(wide, { channels: 3, height: 8, width: 4 })
    expect(images.shape).toEqual([1, 3, 8, 4])
    expect([...images.data.slice(0, 4)]).toEqual([6, 7, 8, 9].map((x) => 15 * x))
    expect(middleOf({ height: 8, width: 16 }, { channels: 1, height: 2, width: 8 })).toEqual({
      top: 2,
      left: 0,
      height: 4,
      width: 16,
    })
  })

  test('that is smaller, or transparent, says so', async () => {
    const small = await write('small.png', 4, 4, () => [9, 9, 9, 100])
    const notes = notesOf(await openPictureFile(small), model, '--image')
    expect(notes).toEqual([
      "--image: 4×4 pixels are enlarged to the model's 8×8.",
      '--image: its transparent pixels count as white.',
    ])
    expect(notesOf(await openPictureFile(square), model, '--image')).toEqual([])
  })
})
