/**
 * Size and kind of a picture from its first bytes, without its decoder: what it will take to decode must be known before,
 * and asking the decoder costs a tenth of a small picture's time.
 */
import { loadSharp } from './load-sharp.js'
import type { PictureFormat } from './picture-format.js'
import { type TiffPage, tiffPages } from './tiff-tags.js'

export interface PictureHeader {
  readonly width: number
  readonly height: number
  /** Bits of a sample in the file. */
  readonly bits: number
  readonly isColour: boolean
  /** Frames or pages; of JPEG and PNG one, of others that have more at least two. */
  readonly frames: number
  /** Of a TIFF what the page's tags say. */
  readonly tiff?: TiffPage
}

/** Undefined where the bytes are too few or not what they should be: the decoder says what is wrong with them. */
export async function readHeader(
  bytes: Uint8Array,
  format: PictureFormat,
  page: number,
): Promise<PictureHeader | undefined> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    return (await readers[format](file, page)) ?? undefined
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

type Reader = (file: Buffer, page: number) => PictureHeader | undefined | Promise<PictureHeader | undefined>

const readers: Readonly<Record<PictureFormat, Reader>> = {
  jpeg: jpegHeader,
  png: pngHeader,
  gif: gifHeader,
  webp: webpHeader,
  tiff: tiffHeader,
  avif: askDecoder,
  svg: askDecoder,
}

/** ITU T.81, B.1: segments up to the frame's. */
function jpegHeader(file: Buffer): PictureHeader | undefined {
  for (let at = 2; ; ) {
    if (file.readUInt8(at) !== 0xff) return undefined
    const marker = file.readUInt8(at + 1)
    // Bytes that only fill.
    if (marker === 0xff) {
      at += 1
      continue
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
    if (isFrame) {
      const [bits, height, width] = [file.readUInt8(at + 4), file.readUInt16BE(at + 5), file.readUInt16BE(at + 7)]
      return { width, height, bits, isColour: file.readUInt8(at + 9) > 1, frames: 1 }
    }
    at += 2 + file.readUInt16BE(at + 2)
  }
}

/** PNG 3rd edition, 11.2.1 and 11.3.6: the header, and whether there is an animation. */
function pngHeader(file: Buffer): PictureHeader {
  const [width, height, bits] = [file.readUInt32BE(16), file.readUInt32BE(20), file.readUInt8(24)]
  let frames = 1
  for (let at = 8; at + 12 <= file.length; at += 12 + file.readUInt32BE(at)) {
    const kind = file.toString('latin1', at + 4, at + 8)
    if (kind === 'acTL') frames = file.readUInt32BE(at + 8)
    if (kind === 'acTL' || kind === 'IDAT') break
  }
  return { width, height, bits, isColour: (file.readUInt8(25) & 2) !== 0, frames: Math.max(1, frames) }
}

/** GIF89a, 18 to 26: the screen, and blocks until a second picture. */
function gifHeader(file: Buffer): PictureHeader {
  const [width, height, flags] = [file.readUInt16LE(6), file.readUInt16LE(8), file.readUInt8(10)]
  const tableBytes = (packed: number): number => ((packed & 0x80) !== 0 ? 3 * 2 ** ((packed & 7) + 1) : 0)
  let frames = 0
  let at = 13 + tableBytes(flags)
  const skipBlocks = (): void => {
    while (at < file.length && file.readUInt8(at) !== 0) at += 1 + file.readUInt8(at)
    at += 1
  }
  while (at < file.length && frames < 2) {
    const kind = file.readUInt8(at)
    if (kind === 0x2c) {
      frames += 1
      if (at + 10 > file.length) break
      at += 11 + tableBytes(file.readUInt8(at + 9))
    } else if (kind === 0x21) at += 2
    else break
    skipBlocks()
  }
  return { width, height, bits: 8, isColour: true, frames: Math.max(1, frames) }
}

/** RFC 9649: extended, lossy and lossless files. */
function webpHeader(file: Buffer): PictureHeader | undefined {
  const common = { bits: 8, isColour: true, frames: 1 } as const
  const kind = file.toString('latin1', 12, 16)
  if (kind === 'VP8X') {
    const isAnimated = (file.readUInt8(20) & 2) !== 0
    return {
      ...common,
      width: 1 + file.readUIntLE(24, 3),
      height: 1 + file.readUIntLE(27, 3),
      frames: isAnimated ? 2 : 1,
    }
  }
  if (kind === 'VP8 ') {
    return { ...common, width: file.readUInt16LE(26) & 0x3fff, height: file.readUInt16LE(28) & 0x3fff }
  }
  if (kind !== 'VP8L') return undefined
  const word = file.readUInt32LE(21)
  return { ...common, width: 1 + (word & 0x3fff), height: 1 + ((word >>> 14) & 0x3fff) }
}

function tiffHeader(file: Buffer, number: number): PictureHeader | undefined {
  const pages = tiffPages(file)
  const tiff = pages?.[number]
  if (!pages || !tiff) return undefined
  const { width, height, bits, photometric } = tiff
  return { width, height, bits, isColour: photometric > 1, frames: pages.length, tiff }
}

async function askDecoder(file: Buffer): Promise<PictureHeader | undefined> {
  const sharp = await loadSharp()
  const known = await sharp(file, { limitInputPixels: false })
    .metadata()
    .catch(() => undefined)
  if (!known) return undefined
  const bits = known.depth === 'ushort' ? 16 : 8
  return { width: known.width, height: known.height, bits, isColour: known.channels > 2, frames: known.pages ?? 1 }
}

/** Frames or pages that can be read one by one; 1 where the file does not say. */
export async function countFrames(bytes: Uint8Array, format: PictureFormat): Promise<number> {
  // The decoder knows no animated PNG, and of the others its own count is the one that it can read.
  if (format === 'jpeg' || format === 'png' || format === 'svg') return 1
  const sharp = await loadSharp()
  const known = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch(() => undefined)
  return known?.pages ?? 1
}
