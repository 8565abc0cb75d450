/** Many small pictures on one sheet → uint8 images of one size. A picture resized alone costs a hundred times its pixels. */
import { DpmError, expected, throwIfAborted } from '../errors.js'
import { eachConcurrently } from './concurrently.js'
import type { DecodeSettings } from './decode.js'
import { loadSharp } from './load-sharp.js'
import { toPlanes } from './planes.js'

/** H×W×4, red, green, blue, alpha. */
export interface Sheet {
  readonly data: Uint8Array
  readonly height: number
  readonly width: number
}

export interface CutSettings {
  /** Height and width of a picture on the sheet, a multiple of 8. */
  readonly cell: number
  /** Pixels around each picture that do not belong to it. */
  readonly margin: number
  /** Height and width of an image in the result: a multiple of 8, not above `cell`. */
  readonly size: number
  readonly kernel: DecodeSettings['kernel']
  /** What shows through transparent pixels. */
  readonly background: string
  readonly signal?: AbortSignal | undefined
  readonly progress?: ((done: number, total: number) => void) | undefined
}

/** Place of a picture, in cells from the top left. */
export interface CellPlace {
  readonly column: number
  readonly row: number
}

export async function decodeSheet(bytes: Uint8Array): Promise<Sheet> {
  const sharp = await loadSharp()
  const picture = sharp(bytes, { failOn: 'error' }).toColourspace('srgb').ensureAlpha()
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true })
  return { data, height: info.height, width: info.width }
}

/** Pictures that are resized as one strip. */
const stripCount = 64
const bytesPerPixel = 4

/**
 * The pictures at `places`, N×3×size×size, each as if it had been resized alone: on the strip that is resized, its first
 * and last line are repeated as far as the kernel sees. (Beyond a factor of 2 libvips averages lines first and repeats
 * the averages, so in the outermost lines a picture resized alone may differ by up to 4 of 255.)
 * @throws DpmError DPM_INVALID_ARGUMENT when a place is not on the sheet.
 */
export async function cutSheet(sheet: Sheet, settings: CutSettings, places: readonly CellPlace[]): Promise<Uint8Array> {
  const { cell, margin, size, signal, progress } = settings
  if (cell % 8 !== 0) throw expected('a multiple of 8', 'cell', cell)
  if (size % 8 !== 0 || size > cell) throw expected(`a multiple of 8, at most ${cell}`, 'size', size)
  const pitch = cell + 2 * margin
  for (const { column, row } of places) {
    if ((column + 1) * pitch > sheet.width || (row + 1) * pitch > sheet.height) {
      throw new DpmError(
        'DPM_INVALID_ARGUMENT',
        `A sheet of ${sheet.width}×${sheet.height} pixels has no cell in column ${column}, row ${row}`,
      )
    }
  }
  const images = new Uint8Array(places.length * 3 * size * size)
  let done = 0
  const cutStrip = async (strip: number): Promise<void> => {
    const first = strip * stripCount
    const some = places.slice(first, first + stripCount)
    const { pixels, cellPixels, skippedPixels } = await resizeStrip(sheet, settings, some)
    for (let i = 0; i < some.length; i++) {
      const start = (i * cellPixels + skippedPixels) * 3
      toPlanes(pixels.subarray(start), 3, size * size, images, (first + i) * 3 * size * size)
    }
    done += some.length
    progress?.(done, places.length)
  }
  await eachConcurrently(Math.ceil(places.length / stripCount), cutStrip, signal)
  throwIfAborted(signal, 'Decoding pictures')
  return images
}

interface ResizedStrip {
  /** H×W×3. */
  readonly pixels: Uint8Array
  /** Pixels from one picture's start to the next one's. */
  readonly cellPixels: number
  /** Pixels of the repeated lines before each picture. */
  readonly skippedPixels: number
}

async function resizeStrip(sheet: Sheet, settings: CutSettings, places: readonly CellPlace[]): Promise<ResizedStrip> {
  const { cell, margin, size, kernel, background } = settings
  // The widest kernel reaches 3 pixels of the smaller picture. A multiple of 8 stays whole at every size allowed.
  const repeated = Math.ceil((3 * cell) / size / 8) * 8
  const pitch = cell + 2 * repeated
  const rowBytes = cell * bytesPerPixel
  const strip = new Uint8Array(places.length * pitch * rowBytes)
  for (const [i, { column, row }] of places.entries()) {
    const left = column * (cell + 2 * margin) + margin
    const top = row * (cell + 2 * margin) + margin
    for (let line = 0; line < pitch; line++) {
      const y = top + Math.min(cell - 1, Math.max(0, line - repeated))
      const start = (y * sheet.width + left) * bytesPerPixel
      strip.set(sheet.data.subarray(start, start + rowBytes), (i * pitch + line) * rowBytes)
    }
  }
  const sharp = await loadSharp()
  const height = places.length * pitch
  const pixels = await sharp(strip, { raw: { width: cell, height, channels: bytesPerPixel } })
    .resize(size, (height * size) / cell, { fit: 'fill', kernel })
    .flatten({ background })
    .toColourspace('srgb')
    .raw()
    .toBuffer()
  return {
    pixels,
    cellPixels: ((pitch * size) / cell) * size,
    skippedPixels: ((repeated * size) / cell) * size,
  }
}
