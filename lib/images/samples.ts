/** The values of a picture of more than 8 bits as its file has them, read so that none is cut off on the way. */
import type { Sharp, SharpOptions } from 'sharp'
import type { SampleType } from './sample-range.js'
import { UnfitPicture } from './unfit-picture.js'

/** H×W×C, alpha last where there is one. */
export interface Samples {
  readonly values: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>
  readonly width: number
  readonly height: number
  readonly channels: number
  readonly hasAlpha: boolean
}

/**
 * All samples of a picture.
 * @param open the picture, turned upright or not, as often as it is asked for
 */
export async function readSamples(
  open: (options?: Pick<SharpOptions, 'ignoreIcc'>) => Sharp,
  type: SampleType,
): Promise<Samples> {
  const { space, depth, hasAlpha, icc } = await open().metadata()
  const isWide = space === 'rgb16' || space === 'grey16'
  if (depth === 'ushort') {
    // By itself sharp takes 16-bit colours with a profile to Display P3, and then gives those numbers as sRGB.
    const picture = icc && space === 'rgb16' ? open({ ignoreIcc: true }).withIccProfile('srgb') : open()
    return await raw(picture.toColourspace(space), 'ushort', hasAlpha)
  }
  if (hasAlpha && !space.includes('rgb')) {
    throw new UnfitPicture(`its samples are ${type.name}, with alpha`, 'Save it without alpha, or with 8 or 16 bits.')
  }
  if (!isWide) return await raw(open().toColourspace(space), 'float', hasAlpha)
  // What libvips calls 16-bit colours sharp makes unsigned integers, whatever they were: they are brought there and back.
  const [least, most] = depth === 'short' ? [type.least, type.most] : await endsOf(open())
  const step = (most - least) / 65_535 || 1
  const scaled = await raw(
    open()
      .linear(1 / step, -least / step)
      .toColourspace(space),
    'ushort',
    hasAlpha,
  )
  return { ...scaled, values: Float32Array.from(scaled.values, (value) => least + step * value) }
}

async function raw(picture: Sharp, depth: 'float' | 'ushort', hasAlpha: boolean): Promise<Samples> {
  const { data, info } = await picture.raw({ depth }).toBuffer({ resolveWithObject: true })
  const { width, height, channels } = info
  // Sharp's buffers begin at 0 of memory of their own.
  const memory = data.buffer as ArrayBuffer
  const values =
    depth === 'float'
      ? new Float32Array(memory, data.byteOffset, data.byteLength / 4)
      : new Uint16Array(memory, data.byteOffset, data.byteLength / 2)
  return { values, width, height, channels, hasAlpha: hasAlpha && (channels === 2 || channels === 4) }
}

/** Least and largest value; a picture with alpha has none of these. */
async function endsOf(picture: Sharp): Promise<readonly [number, number]> {
  const { channels } = await picture.stats()
  const [least, most] = [Math.min(...channels.map(({ min }) => min)), Math.max(...channels.map(({ max }) => max))]
  if (!Number.isFinite(least) || !Number.isFinite(most)) {
    throw new UnfitPicture('a value of it is no finite number', 'Give such pixels a number first.')
  }
  return [least, most]
}
