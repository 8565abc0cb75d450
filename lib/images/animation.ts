/** Pictures of one size → an animated GIF, such as the steps of sampling from noise to image. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Gifenc } from 'gifenc'
import { DpmError, expected, throwIfAborted } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import { checkPicture, type Picture } from './encode.js'

export interface AnimationOptions {
  /** Time that each frame shows, milliseconds (GIF keeps hundredths of a second); default 80. */
  readonly frameMilliseconds?: number
  /** Time that the last frame shows; default 2000. */
  readonly lastFrameMilliseconds?: number
  /** Start again after the last frame; default true. */
  readonly repeat?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Sizes in a GIF have 16 bits. */
const longestSide = 65_535

/** Pixels that the palette is chosen from; more make the choice slower, not better. */
const paletteSamples = 1 << 16

/**
 * Encodes frames with one palette of 256 colours for all, so that what does not change does not flicker.
 * Between frames the event loop has its turn.
 */
export async function encodeAnimation(frames: readonly Picture[], options: AnimationOptions = {}): Promise<Buffer> {
  const { frameMilliseconds = 80, lastFrameMilliseconds = 2000, repeat = true, signal } = options
  if (!Array.isArray(frames)) throw expected('a list of pictures', 'frames', frames)
  const first = frames[0]
  if (!first) throw expected('at least one frame', 'frames', frames)
  for (const frame of frames) {
    checkPicture(frame)
    if (frame.width !== first.width || frame.height !== first.height || frame.channels !== first.channels) {
      throw new DpmError(
        'DPM_INVALID_ARGUMENT',
        `Expected frames of one shape but one is ${shapeOf(frame)} and the first is ${shapeOf(first)}.`,
      )
    }
  }
  if (Math.max(first.width, first.height) > longestSide) {
    throw expected(`sides of ${longestSide} pixels at most, as GIF has them,`, 'frames', shapeOf(first))
  }
  for (const [name, time] of Object.entries({ frameMilliseconds, lastFrameMilliseconds })) {
    if (!(time >= 10 && time <= 655_350)) throw expected('milliseconds from 10 to 655350', name, time)
  }
  const gifenc = await loadGifenc()
  throwIfAborted(signal, 'Encoding the animation')
  // Colours are first counted with 4 bits per channel: with gifenc's usual 5 and 6, noise takes it seconds instead of 0.1.
  const palette = gifenc.quantize(samplePixels(frames), 256, { format: 'rgb444' })
  const encoder = gifenc.GIFEncoder()
  for (const [index, frame] of frames.entries()) {
    await nextTurn()
    throwIfAborted(signal, 'Encoding the animation')
    encoder.writeFrame(gifenc.applyPalette(toRgba(frame), palette), frame.width, frame.height, {
      ...(index === 0 ? { palette, repeat: repeat ? 0 : -1 } : {}),
      delay: index === frames.length - 1 ? lastFrameMilliseconds : frameMilliseconds,
    })
  }
  encoder.finish()
  return Buffer.from(encoder.bytes())
}

/**
 * Writes an animated GIF.
 * @throws DpmError DPM_WRITE_FAILED naming the file and the reason.
 */
export async function writeAnimation(
  path: string,
  frames: readonly Picture[],
  options: AnimationOptions = {},
): Promise<void> {
  if (typeof path !== 'string' || !path.toLowerCase().endsWith('.gif'))
    throw expected('a name that ends in .gif', 'path', path)
  await writeAtomically(path, await encodeAnimation(frames, options))
}

/** Of this CommonJS package Node sees only the default export, bundlers and test runners only the named ones. */
async function loadGifenc(): Promise<Gifenc> {
  const loaded: { readonly default: Gifenc } & Partial<Gifenc> = await import('gifenc')
  const { GIFEncoder, quantize, applyPalette } = loaded
  return GIFEncoder && quantize && applyPalette ? { GIFEncoder, quantize, applyPalette } : loaded.default
}

function shapeOf({ channels, height, width }: Picture): string {
  return `${channels}×${height}×${width}`
}

/** Pixels from all frames, half of them from the last: it shows longest, and the others are mostly noise. */
function samplePixels(frames: readonly Picture[]): Uint8Array {
  const last = frames[frames.length - 1]
  if (!last) return new Uint8Array(0)
  const parts = frames.map((frame) => {
    const share = frame === last ? paletteSamples / 2 : paletteSamples / 2 / Math.max(1, frames.length - 1)
    // An odd stride, so that the samples do not stand in one column of a picture of even width.
    const stride = Math.max(1, Math.ceil((frame.width * frame.height) / share)) | 1
    return toRgba(frame, stride)
  })
  return new Uint8Array(Buffer.concat(parts))
}

/** Every `stride`th pixel as red, green, blue, 255. */
function toRgba({ data, channels, height, width }: Picture, stride = 1): Uint8Array {
  const pixels = height * width
  const green = channels === 3 ? pixels : 0
  const rgba = new Uint8Array(Math.ceil(pixels / stride) * 4)
  for (let pixel = 0, target = 0; pixel < pixels; pixel += stride, target += 4) {
    rgba[target] = data[pixel] ?? 0
    rgba[target + 1] = data[green + pixel] ?? 0
    rgba[target + 2] = data[2 * green + pixel] ?? 0
    rgba[target + 3] = 255
  }
  return rgba
}
