/** A picture file as one image of a model's shape. */
import { readFile } from 'node:fs/promises'
import { DpmError } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import { type DecodeSettings, decodeImage } from './decode.js'
import { Images } from './image-batch.js'
import { toPlanes } from './planes.js'

export interface PictureShape {
  readonly channels: number
  readonly height: number
  readonly width: number
}

/**
 * Reads any picture that sharp reads, cropped to its middle and resized.
 * @throws DpmError DPM_FILE_MISSING, or DPM_FILE_INVALID naming the file that is no picture, or that a model of this shape
 *   cannot take.
 */
export async function readPicture(
  path: string,
  { channels, height, width }: PictureShape,
  kernel: DecodeSettings['kernel'] = 'lanczos3',
): Promise<Images> {
  if ((channels !== 1 && channels !== 3) || height !== width) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `Expected a model of square grey or colour images for the picture ${path} but it has ${channels}×${height}×${width}.`,
    )
  }
  const bytes = await readFile(path).catch((error: unknown) => {
    throw readFailure(path, error)
  })
  const settings = {
    size: height,
    channels,
    fit: 'center-crop',
    kernel,
    background: 'white',
    autoOrient: true,
  } as const
  const pixels = await decodeImage(bytes, { ...settings, shrinkOnLoad: false }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new DpmError('DPM_FILE_INVALID', `${path} cannot be read as a picture: ${reason}.`, { cause: error })
  })
  const planes = new Uint8Array(pixels.length)
  toPlanes(pixels, channels, height * width, planes)
  return new Images(planes, [1, channels, height, width])
}
