import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp, { type OutputInfo } from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeAnimation, writeAnimation } from '../../lib/images/animation.js'
import { encodeImage, type Picture, toUint8 } from '../../lib/images/encode.js'
import { makeGrid } from '../../lib/images/grid.js'
import { Images } from '../../lib/images/image-batch.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'images-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Planes whose bytes are all different enough to tell them apart. */
function picture(channels: number, height: number, width: number): Picture {
  return {
    data: Uint8Array.from({ length: channels * height * width }, (_, i) => (i * 37) % 256),
    channels,
    height,
    width,
  }
}

/** The pixels as the file has them: grey stays one channel, where sharp itself would give three. */
async function pixelsOf(bytes: Uint8Array): Promise<{ data: Buffer; info: OutputInfo }> {
  const { channels } = await sharp(bytes).metadata()
  return sharp(bytes)
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
}

describe('encoding', () => {
  test('floats round to the nearest byte and stay in range', () => {
    const floats = Float32Array.of(-1, 1, 0, -1.5, 7, 0.003, -0.995, Number.NaN)
    expect([...toUint8(floats)]).toEqual([0, 255, 128, 0, 255, 128, 1, 0])
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    expect(toUint8(Float32Array.from(bytes, (byte) => byte / 127.5 - 1))).toEqual(bytes)
  })

  test.each([
    ['png', 3],
    ['webp', 3],
    ['png', 1],
  ] as const)('%s with %i channels gives every byte back', async (format, channels) => {
    const { data, height, width } = picture(channels, 5, 7)
    const { data: pixels, info } = await pixelsOf(await encodeImage({ data, channels, height, width }, { format }))
    expect(info).toMatchObject({ width: 7, height: 5, channels })
    const planes = Array.from({ length: channels }, (_, c) =>
      Array.from({ length: 35 }, (_, p) => pixels[p * channels + c]),
    )
    expect(planes.flat()).toEqual([...data])
  })

  test('jpeg keeps a flat colour, and its quality changes its size', async () => {
    const flat = { data: new Uint8Array(3 * 256).fill(90), channels: 3, height: 16, width: 16 }
    const { data } = await pixelsOf(await encodeImage(flat, { format: 'jpeg' }))
    expect(new Set(data)).toEqual(new Set([90]))
    const noisy = picture(3, 64, 64)
    const sizes = await Promise.all(
      [20, 90].map(async (quality) => (await encodeImage(noisy, { format: 'jpeg', quality })).length),
    )
    expect(sizes[0]).toBeLessThan(sizes[1] ?? 0)
  })

  test('bytes that do not fit the shape are refused by name', async () => {
    await expect(encodeImage({ data: new Uint8Array(11), channels: 3, height: 2, width: 2 })).rejects.toThrow(
      'Expected 12 bytes (3×2×2) for `data` but received Uint8Array of 11 bytes.',
    )
    await expect(encodeImage(picture(2, 2, 2))).rejects.toThrow('Expected 1 or 3 for `channels`')
    expect(() => new Images(new Uint8Array(5), [1, 1, 2, 2])).toThrow('Expected 4 bytes (1×1×2×2)')
  })
})

describe('grid', () => {
  test('lays three images in two columns, scaled, with padding', () => {
    const grid = makeGrid(
      { data: Uint8Array.of(1, 2, 3, 4, 5, 6), shape: [3, 1, 1, 2] },
      { columns: 2, padding: 1, background: 9, scale: 2 },
    )
    expect([grid.channels, grid.height, grid.width]).toEqual([1, 7, 11])
    const lines = Array.from({ length: 7 }, (_, y) => [...grid.data.subarray(y * 11, (y + 1) * 11)].join(''))
    expect(lines).toEqual([
      '99999999999',
      '91122933449',
      '91122933449',
      '99999999999',
      '95566999999',
      '95566999999',
      '99999999999',
    ])
  })

  test('keeps planes apart, is square and visible by default', () => {
    const data = Uint8Array.from({ length: 5 * 3 * 256 }, (_, i) => Math.floor(i / 256) + 1)
    const grid = makeGrid({ data, shape: [5, 3, 16, 16] })
    expect([grid.height, grid.width]).toEqual([2 + 2 * 66, 2 + 3 * 66])
    const plane = grid.height * grid.width
    const at = (y: number, x: number): (number | undefined)[] =>
      [0, 1, 2].map((c) => grid.data[c * plane + y * grid.width + x])
    expect([at(2, 2), at(65, 197), at(68, 2), at(68, 197), at(0, 0)]).toEqual([
      [1, 2, 3],
      [7, 8, 9],
      [10, 11, 12],
      [255, 255, 255],
      [255, 255, 255],
    ])
  })
})

describe('files', () => {
  const images = new Images(
    Uint8Array.from({ length: 24 }, (_, i) => i),
    [2, 3, 2, 2],
  )

  test('a grid and single images come back as they were, and nothing else is left', async () => {
    const home = join(folder, 'out')
    await mkdir(home)
    await images.grid({ padding: 0, scale: 1 }).toFile(join(home, 'grid.png'))
    const { data, info } = await pixelsOf(await readFile(join(home, 'grid.png')))
    expect([info.width, info.height]).toEqual([4, 2])
    expect([...data.subarray(0, 12)]).toEqual([0, 4, 8, 1, 5, 9, 12, 16, 20, 13, 17, 21])
    const paths = await images.toFiles(join(home, 'new', 'deep'), { start: 8 })
    expect(paths.map((path) => path.slice(-10))).toEqual(['000008.png', '000009.png'])
    expect([...(await pixelsOf(await readFile(paths[1] ?? ''))).data.subarray(0, 3)]).toEqual([12, 16, 20])
    expect(await readdir(home)).toEqual(['grid.png', 'new'])
  })

  test('a file that cannot be written is named with the reason', async () => {
    const grid = images.grid()
    await expect(grid.toFile(join(folder, 'nowhere', 'grid.png'))).rejects.toMatchObject({
      code: 'DPM_WRITE_FAILED',
      message: expect.stringMatching(/grid\.png.*folder does not exist.*ENOENT/),
    })
    await expect(grid.toFile(join(folder, 'grid.bmp'))).rejects.toThrow('ends in .png, .jpg, .jpeg, .webp')
    const taken = join(folder, 'taken.png')
    await grid.toFile(taken)
    await expect(images.toFiles(join(taken, 'in'))).rejects.toMatchObject({ code: 'DPM_WRITE_FAILED' })
    const locked = join(folder, 'locked')
    await mkdir(locked)
    await chmod(locked, 0o500)
    // The superuser may write everywhere, so there is nothing to see for him.
    if (process.getuid?.() !== 0) {
      await expect(grid.toFile(join(locked, 'grid.png'))).rejects.toThrow('EACCES')
    }
  })

  test('from floats', () => {
    expect([...Images.fromFloats(Float32Array.of(-1, 0, 1, 2), [1, 1, 2, 2]).data]).toEqual([0, 128, 255, 255])
  })
})

describe('animation', () => {
  const colours = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
  ]
  const frames = colours.map((colour) => ({
    data: Uint8Array.from(colour.flatMap((value) => new Array<number>(12 * 10).fill(value))),
    channels: 3,
    height: 10,
    width: 12,
  }))

  test('is a GIF of all frames with one palette, their times, and the last held', async () => {
    const gif = await encodeAnimation(frames, { frameMilliseconds: 50, lastFrameMilliseconds: 1500 })
    expect(await sharp(gif, { animated: true }).metadata()).toMatchObject({
      format: 'gif',
      pages: 3,
      width: 12,
      pageHeight: 10,
      delay: [50, 50, 1500],
      loop: 0,
    })
    for (const [page, colour] of colours.entries()) {
      const { data, info } = await sharp(gif, { page }).removeAlpha().raw().toBuffer({ resolveWithObject: true })
      expect([info.width, info.height, [...data.subarray(0, 3)]]).toEqual([12, 10, colour])
    }
    // One palette: the screen descriptor announces a global table, and no image descriptor a table of its own.
    expect((gif[10] ?? 0) & 0x80).toBe(0x80)
    const descriptor = Buffer.from([0x2c, 0, 0, 0, 0, 12, 0, 10, 0])
    const flags: (number | undefined)[] = []
    for (let at = gif.indexOf(descriptor); at >= 0; at = gif.indexOf(descriptor, at + 1)) flags.push(gif[at + 9])
    expect(flags).toEqual([0, 0, 0])
  })

  test('grey frames stay grey, and a single run does not repeat', async () => {
    const grey = [30, 200].map((value) => ({ data: new Uint8Array(64).fill(value), channels: 1, height: 8, width: 8 }))
    const path = join(folder, 'grey.gif')
    await writeAnimation(path, grey, { repeat: false })
    const gif = await readFile(path)
    expect((await sharp(gif, { animated: true }).metadata()).loop).toBe(1)
    const { data } = await sharp(gif, { page: 1 }).removeAlpha().raw().toBuffer({ resolveWithObject: true })
    expect([...data.subarray(0, 3)]).toEqual([200, 200, 200])
  })

  test('refuses frames of two shapes, no frames, and stops at the signal', async () => {
    await expect(encodeAnimation([...frames, picture(3, 4, 4)])).rejects.toThrow(
      'one is 3×4×4 and the first is 3×10×12',
    )
    await expect(encodeAnimation([])).rejects.toThrow('at least one frame')
    await expect(encodeAnimation(frames, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'DPM_ABORTED',
    })
  })
})
