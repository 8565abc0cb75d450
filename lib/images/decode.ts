/** Any picture that sharp reads → uint8 of one fixed shape. All of it but the final copy runs on libuv's threads. */
import type { Sharp, SharpOptions } from 'sharp'
import { DpmError } from '../errors.js'
import { loadSharp } from './load-sharp.js'
import { type PictureFormat, requireFormat } from './picture-format.js'
import { type PictureHeader, readHeader } from './picture-header.js'
import { rangeOf, type SampleRange, type SampleType, sampleTypeOf, toSixteenBits } from './sample-range.js'
import { readSamples } from './samples.js'
import { UnfitPicture, written } from './unfit-picture.js'

export const resizeKernels = ['nearest', 'linear', 'cubic', 'mitchell', 'lanczos2', 'lanczos3'] as const
export const imageFits = ['center-crop', 'stretch', 'contain'] as const
/** How colour becomes grey. */
export const greyRules = ['luminance', 'luma'] as const
/** Of a picture, where its settings name none: 8192×8192. */
export const defaultMaxPixels = 2 ** 26

export interface DecodeSettings {
  /** Height and width of the result, pixels. */
  readonly size: number
  /** Width, of a result that is not square. */
  readonly width?: number
  /** 1: luminance; 3: sRGB. */
  readonly channels: 1 | 3
  readonly fit: (typeof imageFits)[number]
  readonly kernel: (typeof resizeKernels)[number]
  /** What shows through transparent pixels, and beside a contained image; a CSS colour. */
  readonly background: string
  /** Turn a photograph as its EXIF orientation says. */
  readonly autoOrient: boolean
  /** Let the JPEG and WebP decoders shrink by a power of two first: faster, but not the same pixels. */
  readonly shrinkOnLoad: boolean
  /**
   * With one channel. `luminance` (default): of linear light, as libvips has it; `luma`: 0.299 R + 0.587 G + 0.114 B of the
   * coded values, rounded as Pillow's mode L.
   */
  readonly grey?: (typeof greyRules)[number]
  /** Default `auto`. */
  readonly range?: SampleRange
  /** Whether SVG is drawn, default false: a drawing of some bytes can take any time. */
  readonly svg?: boolean
  /** A picture of more is refused; default {@link defaultMaxPixels}. */
  readonly maxPixels?: number
  /** A picture that takes longer is refused; default 60. */
  readonly maxSeconds?: number
  /** Frame or page, from 0; default 0. */
  readonly page?: number
}

/** What is worth telling of a picture that was decoded. */
export interface PictureFacts {
  /** Frames or pages beside the one that was read. */
  readonly hasMore: boolean
  /** Colour was made grey. */
  readonly madeGrey: boolean
  /** Values beyond `range` became black or white. */
  readonly isCut: boolean
}

export interface OpenedPicture {
  /** About what decoding takes of memory. */
  readonly costBytes: number
  /**
   * H×W×C pixels, and what is worth telling.
   * @throws UnfitPicture, or whatever sharp says of a picture that is truncated or corrupt; the caller knows its name.
   */
  decode(): Promise<{ readonly pixels: Uint8Array; readonly facts: PictureFacts }>
}

const sharpFits = { 'center-crop': 'cover', stretch: 'fill', contain: 'contain' } as const

/**
 * Decodes one picture as H×W×C pixels.
 * @throws UnfitPicture, or whatever sharp says of a picture that is truncated or corrupt; the caller knows its name.
 */
export async function decodeImage(bytes: Uint8Array, settings: DecodeSettings): Promise<Uint8Array> {
  const picture = await openPicture(bytes, settings)
  return (await picture.decode()).pixels
}

/**
 * What a picture is and what it will take, from its first bytes.
 * @throws UnfitPicture for what is no picture, is too large, or has samples that are not read.
 */
export async function openPicture(bytes: Uint8Array, settings: DecodeSettings): Promise<OpenedPicture> {
  const format = requireFormat(bytes)
  if (format === 'svg' && !settings.svg) {
    throw new UnfitPicture(
      'it is an SVG drawing, which can take any time and memory to draw',
      'Convert it to PNG, or set `svg` to true where its source is trusted.',
    )
  }
  const { page = 0, maxPixels = defaultMaxPixels } = settings
  const header = await readHeader(bytes, format, page)
  const pixels = (header?.width ?? 0) * (header?.height ?? 0)
  if (header && pixels > maxPixels) {
    throw tooLarge(`it has ${written(header.width)}×${written(header.height)} pixels`, maxPixels)
  }
  const type = header && sampleTypeOf(header)
  // Values, a copy within libvips, and what an interlaced picture holds back.
  const costBytes = bytes.length + 4 * pixels * (type ? 8 : 2)
  return { costBytes, decode: () => decode(bytes, format, settings, header, type) }
}

async function decode(
  bytes: Uint8Array,
  format: PictureFormat,
  settings: DecodeSettings,
  header: PictureHeader | undefined,
  type: SampleType | undefined,
): Promise<{ readonly pixels: Uint8Array; readonly facts: PictureFacts }> {
  const create = await loadSharp()
  const { page = 0, maxPixels = defaultMaxPixels, maxSeconds = 60 } = settings
  const open = (options: SharpOptions = {}): Sharp => {
    const picture = create(bytes, { failOn: 'error', limitInputPixels: maxPixels, page, ...options }).timeout({
      seconds: maxSeconds,
    })
    return settings.autoOrient ? picture.autoOrient() : picture
  }
  try {
    let picture = open()
    let isCut = false
    if (type) {
      const samples = await readSamples(open, type)
      const { width, height, channels } = samples
      // The decoder brings the bits of an AVIF to 16.
      const range = settings.range ?? 'auto'
      const ends = rangeOf(samples, type, range === 'auto' && format === 'avif' ? 'type' : range)
      const scaled = toSixteenBits(samples, type, ends, header?.tiff?.photometric === 0 && type.isSwapped)
      isCut = scaled.isCut
      picture = create(scaled.values, { raw: { width, height, channels: channels as 1 | 2 | 3 | 4 } })
    }
    const pixels = await resized(picture, settings)
    const madeGrey = settings.channels === 1 && (header?.isColour ?? false)
    return { pixels, facts: { hasMore: (header?.frames ?? 1) > 1, madeGrey, isCut } }
  } catch (error) {
    throw reworded(error, maxPixels, maxSeconds)
  }
}

async function resized(picture: Sharp, settings: DecodeSettings): Promise<Uint8Array> {
  const { size, width = size, channels, background, grey = 'luminance' } = settings
  const isLuma = channels === 1 && grey === 'luma'
  const decoded = isLuma ? 3 : channels
  // Sharp resizes with premultiplied alpha, so what transparent pixels hide does not bleed into the edges.
  const { data, info } = await picture
    .resize(width, size, {
      fit: sharpFits[settings.fit],
      position: 'centre',
      kernel: settings.kernel,
      background,
      fastShrinkOnLoad: settings.shrinkOnLoad,
    })
    .flatten({ background })
    .toColourspace(decoded === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  if (info.channels !== decoded || info.width !== width || info.height !== size) {
    throw new DpmError(
      'DPM_INTERNAL',
      `The picture became ${info.height}×${info.width}×${info.channels} where ${size}×${width}×${decoded} was asked for.`,
    )
  }
  return isLuma ? lumaOf(data) : data
}

/** Rec. 601 in 16-bit fixed point: Pillow's mode L, to the bit. */
function lumaOf(colours: Uint8Array): Uint8Array {
  const grey = new Uint8Array(colours.length / 3)
  for (let i = 0, at = 0; i < grey.length; i++, at += 3) {
    const [red = 0, green = 0, blue = 0] = [colours[at], colours[at + 1], colours[at + 2]]
    grey[i] = (19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >>> 16
  }
  return grey
}

function tooLarge(size: string, maxPixels: number): UnfitPicture {
  return new UnfitPicture(
    `${size}, more than the ${written(maxPixels)} that \`maxPixels\` allows`,
    'Raise `maxPixels`, or make it smaller first.',
  )
}

/** What sharp says of its limits in our words. */
function reworded(error: unknown, maxPixels: number, maxSeconds: number): unknown {
  const text = error instanceof Error ? error.message : ''
  if (text.includes('exceeds pixel limit')) return tooLarge('it is too large', maxPixels)
  if (text.startsWith('timeout:')) {
    return new UnfitPicture(
      `decoding it took more than the ${written(maxSeconds)} seconds that \`maxSeconds\` allows`,
      'Raise `maxSeconds`, or make it smaller first.',
      false,
    )
  }
  return error
}
