/**
 * Importance weights of whole diffusion paths (Burda et al. 2015, arXiv 1509.00519): for a path drawn from
 * q(x_{1…T} | x_0), backwards by q(x_T | x_0) and then the posteriors q(x_{t-1} | x_t, x_0),
 *
 *     log w = log N(x_T; 0, prior²) - log q(x_T | x_0)
 *           + sum over t > 0 of log p(x_{t-1} | x_t) - log q(x_{t-1} | x_t, x_0)  + log p(x_0 | x_{t=0})
 *
 * The expectation of w is p(x_0); that of log w is minus the variational bound, which log-mean-exp over K paths tightens.
 */
import { normals } from '../../random/philox.js'
import type { DiscreteSchedule } from '../schedule.js'
import { type DiscretizedGaussianKind, discretizedGaussians } from './discretized-gaussian.js'
import { elementsOf, type LikelihoodDenoiser } from './likelihood-denoiser.js'
import type { VariationalStep } from './variational-step.js'
import { type CleanRange, limited, modelAt } from './variational-terms.js'

export interface PathRequest {
  readonly denoiser: LikelihoodDenoiser
  readonly schedule: DiscreteSchedule
  /** The steps of all times, by time. */
  readonly steps: readonly VariationalStep[]
  /** N × elements, 8-bit values on [-1, 1]. */
  readonly x: Float64Array
  readonly examples: readonly number[]
  /** Which path of its image this is, 0, 1, 2 …: part of the noise's key. */
  readonly path: number
  readonly clip: CleanRange
  readonly seed: number
  readonly signal?: AbortSignal | undefined
  readonly onTime?: (() => void) | undefined
}

/** The log weight of one path of each image, nats, by the kind of decoder. */
export async function pathWeights(request: PathRequest): Promise<Record<DiscretizedGaussianKind, number>[]> {
  const { denoiser, schedule, steps, x, examples, path, clip, seed, signal } = request
  const elements = elementsOf(x, examples.length, 'x')
  const draw = (time: number): Float64Array => {
    const all = new Float64Array(x.length)
    const step = path * schedule.steps + time
    for (const [n, example] of examples.entries())
      all.set(normals(seed, 'forward', step, example, elements), n * elements)
    return all
  }
  const weights = new Float64Array(examples.length)
  const decoded = examples.map(() => ({ tanh: 0, erf: 0 }))
  const add = (i: number, value: number): void => {
    const n = Math.floor(i / elements)
    weights[n] = (weights[n] ?? 0) + value
  }

  const last = schedule.level(schedule.noisiest)
  const prior = schedule.prior(last)
  let state = draw(last.time).map((noise, i) => {
    const value = last.alpha * (x[i] ?? 0) + last.sigma * noise
    add(i, noise ** 2 / 2 - (value / prior) ** 2 / 2 + Math.log(last.sigma / prior))
    return value
  })
  for (const step of steps.toReversed()) {
    const { time } = step.from
    const noise = time > 0 ? draw(time - 1) : new Float64Array(0)
    const denoised = await denoiser.denoise(
      state,
      examples.map(() => step.from),
      examples,
      signal,
    )
    state = state.map((noisy, i) => {
      const exact = x[i] ?? 0
      const clean = limited(denoised.clean[i] ?? Number.NaN, clip)
      const { mean, logVariance } = modelAt(step, noisy, clean, denoised.variance?.[i])
      if (time === 0) {
        const at = decoded[Math.floor(i / elements)]
        if (at) {
          at.tanh += discretizedGaussians.tanh(exact, mean, logVariance / 2)
          at.erf += discretizedGaussians.erf(exact, mean, logVariance / 2)
        }
        return exact
      }
      const drawn = noise[i] ?? 0
      const next = step.meanNoisy * noisy + step.meanClean * exact + Math.exp(step.logVariance / 2) * drawn
      const missed = (next - mean) ** 2 * Math.exp(-logVariance)
      add(i, (drawn ** 2 - missed + step.logVariance - logVariance) / 2)
      return next
    })
    request.onTime?.()
  }
  return decoded.map(({ tanh, erf }, n) => ({ tanh: (weights[n] ?? 0) + tanh, erf: (weights[n] ?? 0) + erf }))
}
