/** Pictures of every format, each read as a folder of them is, every frame. */
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import sharp, { type CreateRaw, type Sharp } from 'sharp'
import { openDataSet } from '../../lib/datasets/list.js'
import type { MutatedFormat } from './mutated-formats.js'
import { tiffOf, writeTiff } from './tiff-writer.js'

const size = 24

/** Decodes all pictures of the folder that the file is in. What they take is bounded by `maxPixels`, not by the file. */
async function readPictures(path: string): Promise<number> {
  const options = { kind: 'image-folder', folder: dirname(path), size: 16, classes: 'none', svg: true } as const
  const dataSet = await openDataSet({ ...options, frames: 'all', maxPixels: 2 ** 22 })
  try {
    const image = new Uint8Array(3 * 16 * 16)
    for (let index = 0; index < dataSet.length; index++) await dataSet.read([index], image)
  } finally {
    await dataSet.close()
  }
  return 0
}

const noise = Uint8Array.from({ length: 3 * size * size }, (_, i) => (i * i * 31 + i * 7) % 256)
const picture = (): Sharp => sharp(noise, { raw: { width: size, height: size, channels: 3 } })
/** Three frames, one below the other. */
const frames = (): Sharp =>
  sharp(noise, { raw: { width: size, height: size, channels: 3, pageHeight: size / 3 } as CreateRaw })

const ramp = Float32Array.from({ length: size * size }, (_, i) => (i % size) / size)
const pages = [1, 2].map((photometric) => ({
  width: 8,
  height: 8,
  bits: photometric === 1 ? [16] : [8, 8, 8],
  format: 1,
  photometric,
  data: noise.slice(0, photometric === 1 ? 128 : 192),
}))

/** A part of an ISO media file that means nothing: damage there is none. */
const freeBox = Buffer.concat([Buffer.from([0, 0, 4, 0]), Buffer.from('free'), Buffer.alloc(0x400 - 8)])

/** A PNG whose checksums are right again: damage goes further into its reader. */
function withChecksums(png: Buffer): Buffer {
  for (let at = 8; at + 12 <= png.length; ) {
    const end = at + 8 + png.readUInt32BE(at)
    if (end + 4 > png.length) break
    png.writeUInt32BE(crc32(png.subarray(at + 4, end)), end)
    at = end + 4
  }
  return png
}

const made: readonly (readonly [
  name: string,
  ending: string,
  make: () => Promise<Uint8Array>,
  mend?: (bytes: Buffer) => Buffer,
])[] = [
  ['PNG', '.png', () => picture().png().toBuffer(), withChecksums],
  ['PNG of 16 bits', '.png', () => picture().toColourspace('rgb16').png().toBuffer(), withChecksums],
  ['JPEG', '.jpg', () => picture().jpeg().toBuffer()],
  ['JPEG, progressive', '.jfif', () => picture().jpeg({ progressive: true }).toBuffer()],
  ['GIF', '.gif', () => frames().gif().toBuffer()],
  ['WebP', '.webp', () => picture().webp({ quality: 90 }).toBuffer()],
  ['WebP, lossless', '.webp', () => picture().webp({ lossless: true }).toBuffer()],
  ['WebP, animated', '.webp', () => frames().webp().toBuffer()],
  ['AVIF', '.avif', async () => Buffer.concat([await picture().avif({ effort: 0 }).toBuffer(), freeBox])],
  ['TIFF of pages', '.tif', async () => writeTiff(pages)],
  ['TIFF, compressed', '.tif', () => picture().tiff({ compression: 'lzw', tile: true }).toBuffer()],
  ['TIFF of floats', '.tiff', async () => tiffOf(ramp, size)],
  [
    'SVG',
    '.svg',
    async () =>
      Buffer.from(
        `<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><!--${'x'.repeat(400)}--><circle r="9" cx="9" cy="9"/></svg>`,
      ),
  ],
]

export const mutatedPictures: readonly MutatedFormat[] = made.map(([name, ending, make, mend]) => ({
  name,
  ending,
  make,
  read: readPictures,
  ...(mend && { mend }),
  cost: 25,
}))
