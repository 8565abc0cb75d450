/** Pictures that a run is given: images to begin from, to keep in part, or to make larger. */
import type { ImageShape } from '../datasets/data-set.js'
import { expected } from '../errors.js'
import type { Images } from '../images/image-batch.js'
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
 * @param mask H×W, or N×H×W: one value for all channels of a pixel
 */
export function maskTensor(mask: ArrayLike<number>, { channels, height, width }: ImageShape, count: number): Tensor {
  const pixels = height * width
  const given = mask.length / pixels
  if (given !== 1 && given !== count) {
    throw expected(`${height}×${width} numbers, or ${count} times as many`, 'inpaint.mask', mask.length)
  }
  const values = new Float32Array(count * channels * pixels)
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < pixels; i++) {
      const share = mask[(given === 1 ? 0 : n * pixels) + i] ?? Number.NaN
      if (!(share >= 0 && share <= 1)) throw expected('numbers from 0 to 1', 'inpaint.mask', share)
      for (let channel = 0; channel < channels; channel++) values[(n * channels + channel) * pixels + i] = share
    }
  }
  return Tensor.from(values, [count, channels, height, width])
}

function repeated(data: Uint8Array, given: number, count: number, size: number, name: string): Uint8Array {
  if (given === count) return data
  if (given !== 1) throw expected(`1 image, or ${count}`, name, given)
  const all = new Uint8Array(count * size)
  for (let n = 0; n < count; n++) all.set(data, n * size)
  return all
}
