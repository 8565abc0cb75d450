/** Many small images → one large picture that a person can look at. */
import { expected } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import {
  checkPicture,
  type EncodeOptions,
  encodeImage,
  type ImageFormat,
  imageFormatOf,
  type Picture,
  sizeFault,
} from './encode.js'

/** N uint8 images, N×C×H×W. */
export interface PictureBatch {
  readonly data: Uint8Array
  readonly shape: readonly [count: number, channels: number, height: number, width: number]
}

export interface GridOptions {
  /** Images per row; by default as near to a square as it goes, ceil(sqrt(N)). */
  readonly columns?: number
  /** Pixels between images and around them, after scaling; default 2. */
  readonly padding?: number
  /** Grey value of the padding and of empty places, 0 … 255; default 255. */
  readonly background?: number
  /** Each pixel becomes scale×scale pixels; by default images smaller than 64 pixels grow to at least 64. */
  readonly scale?: number
}

/** Images of at least this size are shown as they are; smaller ones are hard to see on today's screens. */
const visibleSize = 64

/** A picture made of pictures: uint8 C×H×W. */
export class ImageGrid implements Picture {
  readonly data: Uint8Array
  readonly channels: number
  readonly height: number
  readonly width: number

  constructor(picture: Picture) {
    checkPicture(picture)
    this.data = picture.data
    this.channels = picture.channels
    this.height = picture.height
    this.width = picture.width
  }

  /** The bytes of a picture file, PNG unless told otherwise. */
  toBuffer(options: EncodeOptions = {}): Promise<Buffer> {
    return encodeImage(this, options)
  }

  /**
   * Writes the grid; the name's ending chooses PNG, JPEG or WebP.
   * @throws DpmError DPM_WRITE_FAILED naming the file and the reason.
   */
  async toFile(path: string, options: Omit<EncodeOptions, 'format'> = {}): Promise<void> {
    await writeAtomically(path, await encodeImage(this, { ...options, format: imageFormatOf(path) }))
  }
}

/** How a grid is laid out, in pixels. */
interface GridLayout {
  readonly columns: number
  readonly padding: number
  readonly scale: number
  readonly gridHeight: number
  readonly gridWidth: number
}

function layOut([count, , height, width]: PictureBatch['shape'], options: GridOptions): GridLayout {
  const columns = whole('columns', options.columns ?? Math.ceil(Math.sqrt(count)), 1)
  const padding = whole('padding', options.padding ?? 2, 0)
  const scale = whole('scale', options.scale ?? Math.max(1, Math.ceil(visibleSize / Math.max(height, width))), 1)
  const gridHeight = padding + Math.ceil(count / columns) * (height * scale + padding)
  const gridWidth = padding + columns * (width * scale + padding)
  return { columns, padding, scale, gridHeight, gridWidth }
}

/**
 * Refuses a grid that would be too large a picture, before there is any of it.
 * @param name of the option that says how many images, for the error
 * @throws DpmError DPM_INVALID_OPTION
 */
export function requireGridFits(
  shape: PictureBatch['shape'],
  options: GridOptions,
  format: ImageFormat | 'gif',
  name = 'count',
): void {
  const { gridHeight, gridWidth } = layOut(shape, options)
  const fault = sizeFault(format, gridHeight, gridWidth)
  if (fault === undefined) return
  throw expected(
    'fewer images in one picture',
    name,
    shape[0],
    `Their grid would be ${gridWidth}×${gridHeight} pixels, and ${fault}. Write files, or several grids.`,
    'DPM_INVALID_OPTION',
  )
}

/** Lays images out row by row, in their order. @throws DpmError DPM_INVALID_OPTION for more than a picture holds. */
export function makeGrid(images: PictureBatch, options: GridOptions = {}): ImageGrid {
  const [count, channels, height, width] = checkBatch(images)
  const { columns, padding, scale, gridHeight, gridWidth } = layOut(images.shape, options)
  const background = whole('background', options.background ?? 255, 0, 255)
  requireGridFits(images.shape, options, 'png')
  const cellHeight = height * scale
  const cellWidth = width * scale
  const data = new Uint8Array(channels * gridHeight * gridWidth).fill(background)
  for (let image = 0; image < count; image++) {
    const top = padding + Math.floor(image / columns) * (cellHeight + padding)
    const left = padding + (image % columns) * (cellWidth + padding)
    for (let channel = 0; channel < channels; channel++) {
      for (let y = 0; y < height; y++) {
        const source = ((image * channels + channel) * height + y) * width
        const target = (channel * gridHeight + top + y * scale) * gridWidth + left
        for (let x = 0; x < width; x++) {
          data.fill(images.data[source + x] ?? 0, target + x * scale, target + (x + 1) * scale)
        }
        // The other lines of a scaled line are copies of the first.
        for (let copy = 1; copy < scale; copy++) {
          data.copyWithin(target + copy * gridWidth, target, target + cellWidth)
        }
      }
    }
  }
  return new ImageGrid({ data, channels, height: gridHeight, width: gridWidth })
}

/** The shape of a batch whose bytes fit it. */
export function checkBatch({ data, shape }: PictureBatch): PictureBatch['shape'] {
  if (!Array.isArray(shape)) throw expected('four whole numbers [N, C, H, W] of at least 1', 'shape', shape)
  const [count, channels, height, width] = shape
  if (shape.length !== 4 || !shape.every((size) => Number.isInteger(size) && size >= 1)) {
    throw expected('four whole numbers [N, C, H, W] of at least 1', 'shape', shape)
  }
  if (channels !== 1 && channels !== 3) throw expected('1 or 3 channels', 'shape', shape)
  const bytes = count * channels * height * width
  if (data.length !== bytes) throw expected(`${bytes} bytes (${shape.join('×')})`, 'data', data)
  return shape
}

function whole(name: string, value: number, least: number, most = 100_000): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw expected(`a whole number from ${least} to ${most}`, name, value)
}
