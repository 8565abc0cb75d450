/** The noise that images come out of: drawn, found by inversion, and mixed. */
import { expected } from '../errors.js'
import { call } from '../native/call.js'
import { noisePurposes } from '../random/purposes.js'
import { Tensor } from '../tensor/tensor.js'
import type { Source } from './generate.js'

/**
 * x at the first level of the samples with these noise keys, as `Diffusion.sample` begins with them.
 * @returns N×C×H×W float32
 */
export async function drawNoise(source: Source, seed: number, samples: ArrayLike<number>): Promise<Tensor<'float32'>> {
  const { image, device, process } = source
  const shape = [samples.length, image.channels, image.height, image.width]
  const keys = Float64Array.from(samples)
  using normals = Tensor.own<'float32'>(
    await call(undefined, (binding) => binding.randomNormal(seed, noisePurposes.initial, 0, keys, shape, device)),
  )
  const deviation = process.schedule.prior(process.schedule.level(process.schedule.noisiest))
  const values = await normals.data()
  return Tensor.from(
    values.map((value) => deviation * value),
    shape,
  ) as Tensor<'float32'>
}

/**
 * Spherical interpolation (Shoemake 1985), which keeps the length that normal noise has where a straight mix would lose
 * it: sin((1 - t) θ) / sin θ · a + sin(t θ) / sin θ · b, with θ the angle between a and b.
 * @param a 1×C×H×W float32. @param b the same
 * @param count how many points from a to b, both included; at least 2
 * @returns count×C×H×W float32
 */
export async function interpolateNoise(a: Tensor, b: Tensor, count: number): Promise<Tensor<'float32'>> {
  if (!Number.isInteger(count) || count < 2) throw expected('a whole number of at least 2', 'count', count)
  if (a.shape[0] !== 1 || a.shape.join() !== b.shape.join()) {
    throw expected('two tensors of one shape 1×C×H×W', 'noise', [a.shape, b.shape])
  }
  using from = await a.to({ dtype: 'float32', device: 'cpu' })
  using to = await b.to({ dtype: 'float32', device: 'cpu' })
  const [first, last] = [await from.data(), await to.data()]
  const product = (u: Float32Array, v: Float32Array): number =>
    u.reduce((sum, value, i) => sum + value * (v[i] ?? 0), 0)
  const cosine = product(first, last) / Math.sqrt(product(first, first) * product(last, last))
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)))
  const points = new Float32Array(count * first.length)
  for (let k = 0; k < count; k++) {
    const t = k / (count - 1)
    // Where both point the same way, the straight line is the limit.
    const straight = Math.sin(angle) < 1e-6
    const u = straight ? 1 - t : Math.sin((1 - t) * angle) / Math.sin(angle)
    const v = straight ? t : Math.sin(t * angle) / Math.sin(angle)
    first.forEach((value, i) => {
      points[k * first.length + i] = u * value + v * (last[i] ?? 0)
    })
  }
  return Tensor.from(points, [count, ...a.shape.slice(1)]) as Tensor<'float32'>
}
