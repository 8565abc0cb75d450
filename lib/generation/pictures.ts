/** Pictures that a run is given: images to begin from, to keep in part, or to make larger. */
import type { ImageShape } from '../datasets/data-set.js'
import { expected } from '../errors.js'
import { Images } from '../images/image-batch.js'
import { Tensor } from '../tensor/tensor.js'

/**
 * Images in the network's range, N×C×H×W float32 in [-1, 1]; a single image serves all samples.
 * @throws DpmError DPM_INVALID_ARGUMENT when their size or number does not fit.
 */
export function pictureTensor(
  images: Images,
  { channels, height, width }: ImageShape,
  count: number,
  name: string,
): Tensor {
  const [given, ...shape] = images.shape
  const wanted = [channels, height, width]
  if (shape.join() !== wanted.join()) {
    throw expected(`images of ${wanted.join('×')} (channels, height, width)`, name, shape.join('×'))
  }
  const size = channels * height * width
  const values = repeated(images.data, given, count, size, name)
  return Tensor.from(
    Float32Array.from(values, (byte) => byte / 127.5 - 1),
    [count, ...wanted],
  )
}

/**
 * A mask as every element has it: 1 where the run draws, 0 where the image is kept, and anything between for a blend.
 * @param mask H×W, or N×H×W: one value for all channels of a pixel; or grey images, whose bytes count from 0 to 255
 * @throws DpmError DPM_INVALID_ARGUMENT when its size, number or values do not fit.
 */
export function maskTensor(
  mask: ArrayLike<number> | Images,
  { channels, height, width }: ImageShape,
  count: number,
): Tensor {
  const pixels = height * width
  const shares = mask instanceof Images ? sharesOf(mask, height, width) : mask
  const given = shares.length / pixels
  if (given !== 1 && given !== count) {
    throw expected(
      `${height}×${width} (height×width) numbers, or ${count} times as many`,
      'inpaint.mask',
      `${shares.length} numbers`,
      'It is of the size of the images of the model.',
    )
  }
  const values = new Float32Array(count * channels * pixels)
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < pixels; i++) {
      const share = shares[(given === 1 ? 0 : n * pixels) + i] ?? Number.NaN
      if (!(share >= 0 && share <= 1)) {
        const cure = share > 1 && share <= 255 ? ' Divide bytes by 255.' : ''
        throw expected(
          'numbers from 0, which is kept, to 1, which is drawn,',
          'inpaint.mask',
          share,
          `That is line ${Math.floor(i / width)}, column ${i % width}.${cure}`,
        )
      }
      for (let channel = 0; channel < channels; channel++) values[(n * channels + channel) * pixels + i] = share
    }
  }
  return Tensor.from(values, [count, channels, height, width])
}

function sharesOf(mask: Images, height: number, width: number): Float64Array {
  const [, ...shape] = mask.shape
  if (shape.join() === [1, height, width].join()) return Float64Array.from(mask.data, (byte) => byte / 255)
  throw expected(`images of 1×${height}×${width} (channels, height, width)`, 'inpaint.mask', shape.join('×'))
}

function repeated(data: Uint8Array, given: number, count: number, size: number, name: string): Uint8Array {
  if (given === count) return data
  if (given !== 1) throw expected(`1 image, or ${count}`, name, given)
  const all = new Uint8Array(count * size)
  for (let n = 0; n < count; n++) all.set(data, n * size)
  return all
}
