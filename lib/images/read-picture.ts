/**
 * A picture file as one image of a model's shape. One rule for all pictures that a run is given: turned as its EXIF orientation says, its
 * middle of the model's proportions is taken, and made as large as the model's images; transparent pixels count as white.
 */
import { readFile } from 'node:fs/promises'
import { DpmError } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import { decodeImage } from './decode.js'
import { Images } from './image-batch.js'
import { loadSharp } from './load-sharp.js'
import { toPlanes } from './planes.js'
import { UnfitPicture } from './unfit-picture.js'

export interface PictureShape {
  readonly channels: number
  readonly height: number
  readonly width: number
}

/** A picture file before its pixels are read. */
export interface PictureFile {
  readonly path: string
  readonly bytes: Uint8Array
  /** Pixels, turned as the orientation says. */
  readonly height: number
  readonly width: number
  readonly pages: number
  readonly isOpaque: boolean
}

/** The part of a picture that is taken, in its pixels. */
export interface Crop {
  readonly top: number
  readonly left: number
  readonly height: number
  readonly width: number
}

/** @throws DpmError DPM_FILE_MISSING, or DPM_FILE_INVALID for what is no picture. */
export async function openPictureFile(path: string): Promise<PictureFile> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw readFailure(path, error)
  })
  const sharp = await loadSharp()
  try {
    // Refuses what is too large, or no picture, before any of it is decoded.
    const { openPicture } = await import('./decode.js')
    await openPicture(bytes, { ...fitted, size: 1, channels: 3 })
    const image = sharp(bytes)
    const { autoOrient, width, height, pages = 1, hasAlpha } = await image.metadata()
    const isOpaque = !hasAlpha || (await image.stats()).isOpaque
    return { path, bytes, height: autoOrient?.height ?? height, width: autoOrient?.width ?? width, pages, isOpaque }
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** The middle of a picture that has the proportions of a model's images, as large as it goes. */
export function middleOf(picture: { readonly height: number; readonly width: number }, shape: PictureShape): Crop {
  const scale = Math.min(picture.height / shape.height, picture.width / shape.width)
  const [height, width] = [scale * shape.height, scale * shape.width]
  return { top: (picture.height - height) / 2, left: (picture.width - width) / 2, height, width }
}

/** What a person should know of how a picture becomes an image, a sentence each. @param name of the option */
export function notesOf(picture: PictureFile, shape: PictureShape, name: string): string[] {
  const { height, width, pages, isOpaque } = picture
  const crop = middleOf(picture, shape)
  const notes: string[] = []
  const [left, top] = [Math.round(crop.left), Math.round(crop.top)]
  if (left > 0 || top > 0) {
    const middle = `${Math.round(crop.width)}×${Math.round(crop.height)}`
    notes.push(
      `${name}: of ${width}×${height} pixels the middle ${middle} is taken, as the model's images are ${shape.width}×${shape.height}.`,
    )
  }
  if (crop.width < shape.width - 0.5) {
    notes.push(`${name}: ${width}×${height} pixels are enlarged to the model's ${shape.width}×${shape.height}.`)
  }
  if (!isOpaque) notes.push(`${name}: its transparent pixels count as white.`)
  if (pages > 1) notes.push(`${name}: it has ${pages} pages or frames, and the first is taken.`)
  return notes
}

/**
 * Reads any picture that sharp reads by the rule above.
 * @throws DpmError DPM_FILE_MISSING, or DPM_FILE_INVALID naming the file that is no picture, or that a model of this shape
 *   cannot take.
 */
export async function readPicture(path: string, shape: PictureShape): Promise<Images> {
  return imageOf(await openPictureFile(path), shape)
}

/** The same of a file that was opened. @param kernel nearest keeps the values as they are */
export async function imageOf(
  { path, bytes }: PictureFile,
  { channels, height, width }: PictureShape,
  kernel: 'lanczos3' | 'nearest' = 'lanczos3',
): Promise<Images> {
  if (channels !== 1 && channels !== 3) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `Expected a model of grey or colour images for the picture ${path} but it has ${channels}×${height}×${width}.`,
    )
  }
  const grey = kernel === 'nearest' ? ({ grey: 'luma' } as const) : {}
  const settings = { ...fitted, ...grey, size: height, width, channels, kernel } as const
  const pixels = await decodeImage(bytes, settings).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  const planes = new Uint8Array(pixels.length)
  toPlanes(pixels, channels, height * width, planes)
  return new Images(planes, [1, channels, height, width])
}

const fitted = {
  fit: 'center-crop',
  kernel: 'lanczos3',
  background: 'white',
  autoOrient: true,
  shrinkOnLoad: false,
} as const

function unreadable(path: string, error: unknown): DpmError {
  const reason = error instanceof Error ? error.message : String(error)
  const cure = error instanceof UnfitPicture ? ` ${error.cure}` : ''
  return new DpmError('DPM_FILE_INVALID', `${path} cannot be read as a picture: ${reason}.${cure}`, { cause: error })
}
