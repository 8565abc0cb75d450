/** Any picture that sharp reads → uint8 of one fixed shape. All of it but the final copy runs on libuv's threads. */
import { DpmError } from '../errors.js'
import { loadSharp } from './load-sharp.js'

export const resizeKernels = ['nearest', 'linear', 'cubic', 'mitchell', 'lanczos2', 'lanczos3'] as const
export const imageFits = ['center-crop', 'stretch', 'contain'] as const

export interface DecodeSettings {
  /** Height and width of the result, pixels. */
  readonly size: number
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
}

const sharpFits = { 'center-crop': 'cover', stretch: 'fill', contain: 'contain' } as const

/**
 * Decodes one picture as H×W×C pixels.
 * @throws whatever sharp says of a picture that is truncated, corrupt or not a picture; the caller knows its name.
 */
export async function decodeImage(bytes: Uint8Array, settings: DecodeSettings): Promise<Uint8Array> {
  const sharp = await loadSharp()
  const { size, channels, background } = settings
  let picture = sharp(bytes, { failOn: 'error' })
  if (settings.autoOrient) picture = picture.autoOrient()
  // Sharp resizes with premultiplied alpha, so what transparent pixels hide does not bleed into the edges.
  const { data, info } = await picture
    .resize(size, size, {
      fit: sharpFits[settings.fit],
      position: 'centre',
      kernel: settings.kernel,
      background,
      fastShrinkOnLoad: settings.shrinkOnLoad,
    })
    .flatten({ background })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  if (info.channels !== channels || info.width !== size || info.height !== size) {
    throw new DpmError(
      'DPM_INTERNAL',
      `The picture became ${info.height}×${info.width}×${info.channels} where ${size}×${size}×${channels} was asked for.`,
    )
  }
  return data
}
