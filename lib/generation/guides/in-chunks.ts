/** A guide that sees the images of a run a few at a time, and always as many. */
import { expected } from '../../errors.js'
import { Tensor } from '../../tensor/tensor.js'
import type { Guide } from '../program-run.js'

/**
 * Asks about `chunk` images at once, the last of them filled up with the first: a network in the guide then gives an image the same
 * bytes in any company.
 * @throws DpmError DPM_INVALID_ARGUMENT when an answer has another shape than its question.
 */
export function inChunks(guide: Guide, chunk: number): Guide {
  return async (x, level) => {
    const [count = 0, ...shape] = x.shape
    if (count === chunk) return guide(x, level)
    const values = await x.data()
    const size = values.length / count
    const answer = new Float32Array(values.length)
    for (let start = 0; start < count; start += chunk) {
      const part = new Float32Array(chunk * size)
      for (let n = 0; n < chunk; n++) {
        const from = start + n < count ? start + n : start
        part.set(values.subarray(from * size, (from + 1) * size), n * size)
      }
      const places = Array.from({ length: chunk }, (_, n) => level.places[start + n] ?? level.places[start] ?? 0)
      using whole = Tensor.from(part, [chunk, ...shape])
      using asked = await whole.to<'float32'>({ device: x.device })
      using gradient = await guide(asked, { ...level, places })
      if (gradient.shape.join() !== asked.shape.join() || gradient.dtype !== 'float32') {
        throw expected(`float32 of shape ${asked.shape.join('×')}`, 'gradient', [gradient.dtype, ...gradient.shape])
      }
      const found = await (gradient as Tensor<'float32'>).data()
      answer.set(found.subarray(0, Math.min(chunk, count - start) * size), start * size)
    }
    using joined = Tensor.from(answer, x.shape)
    return joined.to({ device: x.device })
  }
}
