/** Data N(mean, Q diag(variances) Qᵀ) whose elements are all correlated, and everything that is known of it. */
import type { PullingDenoiser } from '../../lib/diffusion/likelihood/likelihood-denoiser.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { normals } from '../../lib/random/philox.js'

export interface CorrelatedGaussian {
  readonly mean: Float64Array
  /** Eigenvalues of the covariance. */
  readonly variances: Float64Array
  readonly dimensions: number
  /** Q, and Qᵀ. */
  turn(x: Float64Array): Float64Array
  turnBack(x: Float64Array): Float64Array
  sample(example: number): Float64Array
  logDensity(x: Float64Array): number
  denoiser(schedule: Schedule): PullingDenoiser
}

export function correlatedGaussian(dimensions: number, least = 0.01, largest = 0.16): CorrelatedGaussian {
  const mean = normals(9, 'weights', 0, 0, dimensions).map((one) => 0.2 * Math.tanh(one))
  const variances = mean.map((_, i) => least * (largest / least) ** (i / (dimensions - 1)))
  const axes = [1, 2, 3].map((index) => unit(normals(9, 'weights', 0, index, dimensions)))
  // Q is a product of reflections: orthogonal, dense, and applied in a few passes.
  const turn = (x: Float64Array): Float64Array => axes.reduce(reflected, x)
  const turnBack = (x: Float64Array): Float64Array => axes.toReversed().reduce(reflected, x)
  const clean = (x: Float64Array, { alpha, sigma }: Level): Float64Array => {
    const turned = turnBack(x.map((one, i) => one - alpha * (mean[i] ?? 0)))
    return turn(turned.map((one, i) => gain(variances[i] ?? 0, alpha, sigma) * one)).map(
      (one, i) => one + (mean[i] ?? 0),
    )
  }
  const jacobian = (v: Float64Array, { alpha, sigma }: Level): Float64Array =>
    turn(turnBack(v).map((one, i) => gain(variances[i] ?? 0, alpha, sigma) * one))
  const each = (x: Float64Array, levels: readonly Level[], f: (x: Float64Array, level: Level) => Float64Array) => {
    const all = new Float64Array(x.length)
    for (const [n, level] of levels.entries()) {
      all.set(f(x.slice(n * dimensions, (n + 1) * dimensions), level), n * dimensions)
    }
    return all
  }
  return {
    mean,
    variances,
    dimensions,
    turn,
    turnBack,
    sample(example) {
      const noise = normals(9, 'initial', 0, example, dimensions)
      return turn(noise.map((one, i) => Math.sqrt(variances[i] ?? 0) * one)).map((one, i) => one + (mean[i] ?? 0))
    },
    logDensity(x) {
      const turned = turnBack(x.map((one, i) => one - (mean[i] ?? 0)))
      return turned.reduce((sum, one, i) => {
        const variance = variances[i] ?? 0
        return sum - (Math.log(2 * Math.PI * variance) + one ** 2 / variance) / 2
      }, 0)
    },
    denoiser: (schedule) => ({
      schedule,
      denoise: async (x, levels) => ({ clean: each(x, levels, clean) }),
      // The Jacobian is symmetric.
      pull: async (x, levels, vector) => ({ clean: each(x, levels, clean), product: each(vector, levels, jacobian) }),
    }),
  }
}

function gain(variance: number, alpha: number, sigma: number): number {
  return (alpha * variance) / (alpha ** 2 * variance + sigma ** 2)
}

function unit(x: Float64Array): Float64Array {
  const size = Math.hypot(...x)
  return x.map((one) => one / size)
}

function reflected(x: Float64Array, axis: Float64Array): Float64Array {
  const along = x.reduce((sum, one, i) => sum + one * (axis[i] ?? 0), 0)
  return x.map((one, i) => one - 2 * along * (axis[i] ?? 0))
}
