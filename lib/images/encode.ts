/** uint8 C×H×W → PNG, JPEG or WebP; and floats → uint8. */
import { extname } from 'node:path'
import { expected } from '../errors.js'
import { loadSharp } from './load-sharp.js'
import { toPixels } from './planes.js'

/** One uint8 image, C×H×W, with 1 (grey) or 3 (sRGB) channels. */
export interface Picture {
  readonly data: Uint8Array
  readonly channels: number
  readonly height: number
  readonly width: number
}

export const imageFormats = ['png', 'jpeg', 'webp'] as const
export type ImageFormat = (typeof imageFormats)[number]

interface SizeLimits {
  /** Pixels of a side: of the format itself, or of its usual decoder (libpng). */
  readonly side: number
  readonly pixels: number
}

/** What sharp, and so we, open again: 0x3fff² pixels. Of an animation some forty pictures are in memory at once. */
const limits: Readonly<Record<ImageFormat | 'gif', SizeLimits>> = {
  png: { side: 1_000_000, pixels: 0x3fff ** 2 },
  jpeg: { side: 65_500, pixels: 0x3fff ** 2 },
  webp: { side: 16_383, pixels: 0x3fff ** 2 },
  gif: { side: 65_535, pixels: 4096 ** 2 },
}

/** Why a picture of this size cannot be written; undefined where it can. */
export function sizeFault(format: ImageFormat | 'gif', height: number, width: number): string | undefined {
  const { side, pixels } = limits[format]
  if (Math.max(height, width) > side) return `the sides of a ${format} have ${side} pixels at most`
  if (height * width > pixels) return `a ${format} may have ${pixels} pixels`
  return undefined
}

export interface EncodeOptions {
  /** Default `png`. */
  readonly format?: ImageFormat
  /** 1 … 100 for JPEG and WebP; JPEG's default is 95, and WebP without it is lossless. PNG has none. */
  readonly quality?: number
}

/** Bytes of a picture file. Encoding runs on libuv's threads. */
export async function encodeImage(picture: Picture, options: EncodeOptions = {}): Promise<Buffer> {
  checkPicture(picture)
  const { format = 'png', quality } = options
  if (!imageFormats.includes(format)) throw expected(`one of ${imageFormats.join(', ')}`, 'format', format)
  if (quality !== undefined && !(Number.isInteger(quality) && quality >= 1 && quality <= 100)) {
    throw expected('a whole number from 1 to 100', 'quality', quality)
  }
  const { width, height, channels } = picture
  const fault = sizeFault(format, height, width)
  if (fault) throw expected('a picture that can be written', 'size', `${width}×${height}`, `${capital(fault)}.`)
  const sharp = await loadSharp()
  const image = sharp(toPixels(picture.data, channels, width * height), {
    raw: { width, height, channels: channels === 1 ? 1 : 3 },
  }).toColourspace(channels === 1 ? 'b-w' : 'srgb')
  switch (format) {
    case 'png':
      return image.png().toBuffer()
    case 'jpeg':
      return image.jpeg({ quality: quality ?? 95, chromaSubsampling: '4:4:4' }).toBuffer()
    case 'webp':
      return image.webp(quality === undefined ? { lossless: true } : { quality }).toBuffer()
  }
}

const formatsByExtension: Readonly<Record<string, ImageFormat>> = {
  '.png': 'png',
  '.jpg': 'jpeg',
  '.jpeg': 'jpeg',
  '.webp': 'webp',
}

/** Endings of the pictures that are written. */
export const pictureEndings = Object.keys(formatsByExtension)

/** The format that a file's name asks for. @param name of the option, for the error */
export function imageFormatOf(path: string, name = 'path'): ImageFormat {
  const format = formatsByExtension[extname(path).toLowerCase()]
  if (!format) throw expected(`a name that ends in ${pictureEndings.join(', ')}`, name, path)
  return format
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** @throws DpmError DPM_INVALID_ARGUMENT when the bytes are not such a picture. */
export function checkPicture({ data, channels, height, width }: Picture): void {
  if (channels !== 1 && channels !== 3) throw expected('1 or 3', 'channels', channels)
  for (const [name, size] of Object.entries({ height, width })) {
    if (!Number.isInteger(size) || size < 1) throw expected('a whole number of at least 1', name, size)
  }
  if (data.length !== channels * height * width) {
    throw expected(`${channels * height * width} bytes (${channels}×${height}×${width})`, 'data', data)
  }
}

/**
 * Network range → bytes: round((x + 1) · 127.5), limited to 0 … 255, so -1, 0, 1 become 0, 128, 255. The inverse of
 * byte / 127.5 - 1, with which data enters training. Not-a-number becomes 0.
 */
export function toUint8(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length)
  for (let i = 0; i < values.length; i++) {
    bytes[i] = Math.min(255, Math.max(0, Math.round(((values[i] ?? 0) + 1) * 127.5)))
  }
  return bytes
}
