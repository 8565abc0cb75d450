/** What sampling gives: a batch of images, and the ways out of it. */
import { join } from 'node:path'
import { expected } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import { makeFolder } from '../files/make-folder.js'
import { eachConcurrently } from './concurrently.js'
import { type EncodeOptions, encodeImage, imageFormats, type Picture, toUint8 } from './encode.js'
import { checkBatch, type GridOptions, type ImageGrid, makeGrid, type PictureBatch } from './grid.js'

export interface ToFilesOptions extends EncodeOptions {
  /** Number of the first file; default 0. A later batch goes on where an earlier one ended. */
  readonly start?: number
  /** Digits of a file's number, filled with zeros so that names sort; default 6. */
  readonly digits?: number
}

/** N uint8 images of one shape, N×C×H×W with C = 1 (grey) or 3 (sRGB). */
export class Images implements PictureBatch {
  readonly shape: PictureBatch['shape']
  readonly data: Uint8Array

  /** @throws DpmError DPM_INVALID_ARGUMENT when the bytes do not fit the shape. */
  constructor(data: Uint8Array, shape: PictureBatch['shape']) {
    if (!(data instanceof Uint8Array)) throw expected('a Uint8Array', 'data', data)
    this.shape = Object.freeze([...checkBatch({ data, shape })] as const)
    this.data = data
  }

  /** From a network's range, [-1, 1]; values outside are limited to it. */
  static fromFloats(values: Float32Array, shape: PictureBatch['shape']): Images {
    return new Images(toUint8(values), shape)
  }

  get length(): number {
    return this.shape[0]
  }

  /** One image, sharing its bytes with the batch. */
  at(index: number): Picture {
    const [count, channels, height, width] = this.shape
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      throw expected(`a whole number from 0 to ${count - 1}`, 'index', index)
    }
    const size = channels * height * width
    return { data: this.data.subarray(index * size, (index + 1) * size), channels, height, width }
  }

  /** All images in one picture. */
  grid(options: GridOptions = {}): ImageGrid {
    return makeGrid(this, options)
  }

  /** One image as the bytes of a picture file. */
  encode(index: number, options: EncodeOptions = {}): Promise<Buffer> {
    return encodeImage(this.at(index), options)
  }

  /**
   * One file per image, `000000.png`, `000001.png`, …, in a folder that is created where missing.
   * @returns the paths, in the images' order.
   * @throws DpmError DPM_WRITE_FAILED naming the file and the reason.
   */
  async toFiles(folder: string, options: ToFilesOptions = {}): Promise<string[]> {
    const { start = 0, digits = 6, format = 'png' } = options
    if (!imageFormats.includes(format)) throw expected(`one of ${imageFormats.join(', ')}`, 'format', format)
    if (!Number.isInteger(start) || start < 0) throw expected('a whole number of at least 0', 'start', start)
    await makeFolder(folder)
    const extension = format === 'jpeg' ? 'jpg' : format
    const paths = Array.from({ length: this.length }, (_, index) =>
      join(folder, `${String(start + index).padStart(digits, '0')}.${extension}`),
    )
    // A few at a time: each file waits for the disk, and encoders are on other threads.
    await eachConcurrently(paths.length, async (index) => {
      await writeAtomically(paths[index] ?? '', await this.encode(index, { format, ...options }))
    })
    return paths
  }
}
