/** Pictures of every kind of sample come out as their values mean, or are refused by name: never black, never cut off in silence. */
import sharp from 'sharp'
import { describe, expect, test } from 'vitest'
import { type DecodeSettings, decodeImage, openPicture } from '../../lib/images/decode.js'
import { type PageContent, tiffOf } from './tiff-writer.js'

const size = 8
const plain: DecodeSettings = {
  size,
  channels: 1,
  fit: 'center-crop',
  kernel: 'nearest',
  background: '#ffffff',
  autoOrient: true,
  shrinkOnLoad: false,
}

/** From black on the left to white on the right. */
const ramp = Array.from({ length: size }, (_, x) => x / (size - 1))
const eightBits = ramp.map((value) => Math.round(255 * value))

/** The ramp in every row and every sample. */
function rows<A extends { [index: number]: number }>(
  Type: new (length: number) => A,
  value: (level: number) => number,
  samples = 1,
): A {
  const values = new Type(size * size * samples)
  for (let i = 0; i < size * size * samples; i++) values[i] = value(ramp[Math.floor(i / samples) % size] ?? 0)
  return values
}

/** First row of the first channel. */
async function firstRow(bytes: Uint8Array, settings: Partial<DecodeSettings> = {}): Promise<number[]> {
  const pixels = await decodeImage(bytes, { ...plain, ...settings })
  const { channels = plain.channels } = settings
  return Array.from({ length: size }, (_, x) => pixels[x * channels] ?? -1)
}

/** Within rounding on the way through 16 bits. */
async function expectRamp(
  bytes: Uint8Array,
  settings: Partial<DecodeSettings> = {},
  wanted = eightBits,
): Promise<void> {
  for (const channels of [1, 3] as const) {
    const row = await firstRow(bytes, { ...settings, channels })
    for (const [x, value] of row.entries()) expect(Math.abs(value - (wanted[x] ?? 0)), `${row}`).toBeLessThanOrEqual(1)
  }
}

/** Of a number from 0 to 1 the bits in half precision: exact for multiples of 1/1024. */
function half(value: number): number {
  if (value === 0) return 0
  const exponent = Math.floor(Math.log2(value))
  return ((exponent + 15) << 10) | Math.round((value / 2 ** exponent - 1) * 1024)
}

describe('as their values mean', () => {
  test.each<[string, Buffer, Partial<DecodeSettings>?]>([
    [
      '8 bits',
      tiffOf(
        rows(Uint8Array, (v) => 255 * v),
        size,
      ),
    ],
    [
      '8 bits, white is 0',
      tiffOf(
        rows(Uint8Array, (v) => 255 - 255 * v),
        size,
        { photometric: 0 },
      ),
    ],
    [
      '16 bits',
      tiffOf(
        rows(Uint16Array, (v) => 65_535 * v),
        size,
      ),
    ],
    [
      '16 bits, white is 0',
      tiffOf(
        rows(Uint16Array, (v) => 65_535 - 65_535 * v),
        size,
        { photometric: 0 },
      ),
    ],
    [
      '16 bits in colour',
      tiffOf(
        rows(Uint16Array, (v) => 65_535 * v, 3),
        size,
        { samples: 3 },
      ),
    ],
    [
      'floats',
      tiffOf(
        rows(Float32Array, (v) => v),
        size,
      ),
    ],
    [
      'floats, white is 0',
      tiffOf(
        rows(Float32Array, (v) => 1 - v),
        size,
        { photometric: 0 },
      ),
    ],
    [
      'floats in colour',
      tiffOf(
        rows(Float32Array, (v) => v, 3),
        size,
        { samples: 3 },
      ),
    ],
    ['half floats', tiffOf(rows(Uint16Array, half), size, { format: 3 })],
    ['half floats in colour', tiffOf(rows(Uint16Array, half, 3), size, { format: 3, samples: 3 })],
    [
      'floats to 255',
      tiffOf(
        rows(Float32Array, (v) => 255 * v),
        size,
      ),
      { range: [0, 255] },
    ],
    [
      'floats from -1 to 1',
      tiffOf(
        rows(Float32Array, (v) => 2 * v - 1),
        size,
      ),
      { range: [-1, 1] },
    ],
    [
      '12 of 16 bits',
      tiffOf(
        rows(Uint16Array, (v) => 4095 * v),
        size,
      ),
      { range: [0, 4095] },
    ],
    [
      '12 of 16 bits in colour',
      tiffOf(
        rows(Uint16Array, (v) => 4095 * v, 3),
        size,
        { samples: 3 },
      ),
      { range: [0, 4095] },
    ],
    [
      'signed 8 bits',
      tiffOf(
        rows(Int8Array, (v) => 255 * v - 128),
        size,
      ),
      { range: 'type' },
    ],
    [
      'signed 16 bits',
      tiffOf(
        rows(Int16Array, (v) => 65_535 * v - 32_768),
        size,
      ),
      { range: 'type' },
    ],
    [
      'signed 16 bits, of a scanner',
      tiffOf(
        rows(Int16Array, (v) => 4000 * v - 1000),
        size,
      ),
      { range: [-1000, 3000] },
    ],
    [
      'signed 16 bits in colour',
      tiffOf(
        rows(Int16Array, (v) => 65_535 * v - 32_768, 3),
        size,
        { samples: 3 },
      ),
      { range: 'type' },
    ],
    [
      'signed 32 bits',
      tiffOf(
        rows(Int32Array, (v) => (2 ** 32 - 1) * v - 2 ** 31),
        size,
      ),
      { range: 'type' },
    ],
    [
      'unsigned 32 bits',
      tiffOf(
        rows(Uint32Array, (v) => (2 ** 32 - 1) * v),
        size,
      ),
      { range: 'type' },
    ],
    [
      'unsigned 32 bits, few of them',
      tiffOf(
        rows(Uint32Array, (v) => 200 * v),
        size,
      ),
      { range: [0, 200] },
    ],
    [
      'unsigned 32 bits in colour',
      tiffOf(
        rows(Uint32Array, (v) => 1000 * v, 3),
        size,
        { samples: 3 },
      ),
      { range: [0, 1000] },
    ],
  ])('%s', async (_, bytes, settings) => {
    await expectRamp(bytes, settings)
  })

  test('1, 2 and 4 bits, and palettes', async () => {
    const packed = (bits: number, row: readonly number[], rest: Partial<PageContent> = {}): Buffer =>
      tiffOf(
        Uint8Array.from({ length: size * row.length }, (_, i) => row[i % row.length] ?? 0),
        size,
        {
          bits: [bits],
          height: size,
          ...rest,
        },
      )
    const halves = [0, 0, 0, 0, 255, 255, 255, 255]
    expect(await firstRow(packed(1, [0x0f]))).toEqual(halves)
    expect(await firstRow(packed(1, [0xf0], { photometric: 0 }))).toEqual(halves)
    expect(await firstRow(packed(2, [0x1b, 0x1b]))).toEqual([0, 85, 170, 255, 0, 85, 170, 255])
    expect((await firstRow(packed(4, [0x02, 0x46, 0x8a, 0xcf]))).at(-1)).toBe(255)
    const grey = Array.from({ length: 16 }, (_, i) => (i < 8 ? Math.round(65_535 * (ramp[i] ?? 0)) : 0))
    const palette = { photometric: 3, colours: [...grey, ...grey, ...grey] }
    await expectRamp(packed(4, [0x01, 0x23, 0x45, 0x67], palette))
  })

  test('alpha of floats and of 16 bits shows the background', async () => {
    const floats = rows(Float32Array, () => 0, 4)
    for (let i = 3; i < floats.length; i += 4) floats[i] = 0.5
    const deep = rows(Uint16Array, () => 65_535, 2)
    for (let i = 1; i < deep.length; i += 2) deep[i] = 0x8000
    for (const bytes of [
      tiffOf(floats, size, { samples: 4, extra: 2 }),
      tiffOf(deep, size, { samples: 2, extra: 2, photometric: 0 }),
    ]) {
      const row = await firstRow(bytes, { channels: 3 })
      expect(
        row.every((value) => Math.abs(value - 128) <= 1),
        `${row}`,
      ).toBe(true)
    }
  })

  test('16-bit colours keep what their profile says', async () => {
    const red = Uint16Array.from({ length: 3 * size * size }, (_, i) => (i % 3 === 0 ? 65_535 : 0))
    const bytes = await sharp(red, { raw: { width: size, height: size, channels: 3 } })
      .toColourspace('rgb16')
      .withIccProfile('srgb')
      .png()
      .toBuffer()
    expect((await sharp(bytes).metadata()).icc).toBeDefined()
    const [r = 0, g = 255, b = 255] = await decodeImage(bytes, { ...plain, channels: 3 })
    expect([r, g, b]).toEqual([255, 0, 0])
  })

  test('plain 16 bits are the pixels that sharp makes of them', async () => {
    let state = 1
    const noise = Uint16Array.from({ length: 4 * 40 * 30 }, () => (state = (state * 75 + 74) % 65_537))
    for (const channels of [1, 2, 3, 4] as const) {
      const raw = { width: 40, height: 30, channels }
      const bytes = await sharp(noise.slice(0, 1200 * channels), { raw })
        .toColourspace(channels < 3 ? 'grey16' : 'rgb16')
        .png()
        .toBuffer()
      expect((await sharp(bytes).metadata()).depth).toBe('ushort')
      for (const wanted of [1, 3] as const) {
        const direct = await sharp(bytes)
          .resize(size, size, { fit: 'cover', kernel: 'lanczos3', fastShrinkOnLoad: false })
          .flatten({ background: '#ffffff' })
          .toColourspace(wanted === 1 ? 'b-w' : 'srgb')
          .raw()
          .toBuffer()
        expect(await decodeImage(bytes, { ...plain, channels: wanted, kernel: 'lanczos3' })).toEqual(direct)
      }
    }
  })
})

describe('refused by name, with the cure', () => {
  test.each<[string, Buffer, RegExp, RegExp]>([
    [
      'floats beyond 1',
      tiffOf(
        rows(Float32Array, (v) => 1000 * v - 200),
        size,
      ),
      /floating point of 32 bits, from -200 to 800/,
      /\[-200, 800\]/,
    ],
    [
      'floats to 255',
      tiffOf(
        rows(Float32Array, (v) => 255 * v),
        size,
      ),
      /from 0 to 255/,
      /\[0, 255\]/,
    ],
    [
      'floats from -1',
      tiffOf(
        rows(Float32Array, (v) => 2 * v - 1),
        size,
      ),
      /from -1 to 1/,
      /\[-1, 1\]/,
    ],
    [
      'not a number',
      tiffOf(
        rows(Float32Array, (v) => (v === 1 ? Number.NaN : v)),
        size,
      ),
      /NaN/,
      /number/,
    ],
    [
      'signed 16 bits',
      tiffOf(
        rows(Int16Array, (v) => 65_535 * v - 32_768),
        size,
      ),
      /signed integers of 16 bits, from -32,768 to 32,767/,
      /`range`/,
    ],
    [
      'signed 8 bits',
      tiffOf(
        rows(Int8Array, (v) => 255 * v - 128),
        size,
      ),
      /signed integers of 8 bits/,
      /`range`/,
    ],
    [
      'unsigned 32 bits',
      tiffOf(
        rows(Uint32Array, (v) => 1000 * v),
        size,
      ),
      /integers of 32 bits, from 0 to 1,000/,
      /\[0, 1023\]/,
    ],
    [
      '12 of 16 bits',
      tiffOf(
        rows(Uint16Array, (v) => 4095 * v),
        size,
      ),
      /16 bits but none is above 4,095/,
      /\[0, 4095\].*"type"/,
    ],
    [
      '10 of 16 bits, in colour',
      tiffOf(
        rows(Uint16Array, (v) => 1023 * v, 3),
        size,
        { samples: 3 },
      ),
      /none is above 1,023/,
      /\[0, 1023\]/,
    ],
    [
      '64-bit floats',
      tiffOf(
        rows(Float64Array, (v) => v),
        size,
      ),
      /floating point of 64 bits/,
      /8 or 16 bits/,
    ],
    [
      'complex numbers',
      tiffOf(
        rows(Float64Array, (v) => v),
        size,
        { format: 6 },
      ),
      /complex numbers of 64 bits/,
      /8 or 16 bits/,
    ],
    [
      'packed 12 bits',
      tiffOf(new Uint8Array(96), size, { bits: [12], height: size }),
      /integers of 12 bits/,
      /8 or 16 bits/,
    ],
    [
      'five samples',
      tiffOf(
        rows(Uint8Array, (v) => 255 * v, 5),
        size,
        { samples: 5, photometric: 2 },
      ),
      /5 samples a pixel/,
      /RGB/,
    ],
    [
      'CMYK in floats',
      tiffOf(
        rows(Float32Array, (v) => v, 4),
        size,
        { samples: 4, photometric: 5 },
      ),
      /floating point.*CMYK/,
      /RGB/,
    ],
  ])('%s', async (_, bytes, reason, cure) => {
    for (const channels of [1, 3] as const) {
      await expect(firstRow(bytes, { channels })).rejects.toMatchObject({
        name: 'UnfitPicture',
        message: expect.stringMatching(reason),
        cure: expect.stringMatching(cure),
      })
    }
  })

  test('but a picture that is black, or as dark as that by its settings, is black', async () => {
    const black = new Array<number>(size).fill(0)
    expect(
      await firstRow(
        tiffOf(
          rows(Uint16Array, () => 0),
          size,
        ),
      ),
    ).toEqual(black)
    expect(
      await firstRow(
        tiffOf(
          rows(Int16Array, () => 0),
          size,
        ),
      ),
    ).not.toEqual([])
    const dark = tiffOf(
      rows(Uint16Array, (v) => 4095 * v),
      size,
    )
    expect((await firstRow(dark, { range: 'type' })).at(-1)).toBe(16)
  })

  test('values beyond a given range become black and white, and are told of', async () => {
    const bytes = tiffOf(
      rows(Int16Array, (v) => 4000 * v - 1000),
      size,
    )
    const settings = { ...plain, range: [0, 1000] } as const
    const { pixels, facts } = await (await openPicture(bytes, settings)).decode()
    expect([pixels[0], pixels[7], facts.isCut]).toEqual([0, 255, true])
  })
})
