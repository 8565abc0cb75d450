/**
 * The variational bound on -log p(x_0), term by term (Ho et al. 2020, arXiv 2006.11239, eq. 5):
 *
 *     prior  KL(q(x_T | x_0) || N(0, prior²))
 *     t > 0  KL(q(x_{t-1} | x_t, x_0) || N(model's mean, model's variance)) at one draw of x_t
 *     t = 0  -log of the discretised Gaussian decoder at the 8-bit values of x_0
 *
 * in bits per dimension, with the model's mean the posterior's at the clean image that it predicts. Beside each term the
 * mean squared errors of that clean image and of the noise that follows from it, as improved diffusion prints them. Where the
 * forward step is learned, x_t is made of F_t, and the posterior has y in the place of x_0 (`forward-step.ts`).
 */
import { DpmError } from '../../errors.js'
import { normals } from '../../random/philox.js'
import { gainOf } from '../forward-step.js'
import type { DiscreteSchedule, Level, Schedule } from '../schedule.js'
import { bitsPerDimension } from './bits-per-dimension.js'
import { type DiscretizedGaussianKind, discretizedGaussians } from './discretized-gaussian.js'
import { type Denoised, elementsOf, type LikelihoodDenoiser } from './likelihood-denoiser.js'
import { normalDivergence } from './normal-divergence.js'
import type { VariationalStep } from './variational-step.js'

/** What keeps the predicted clean image in the data's range; null leaves it as it is. */
export type CleanRange = { readonly low: number; readonly high: number } | null

export interface TermRequest {
  readonly denoiser: LikelihoodDenoiser
  /** N × elements, 8-bit values on [-1, 1]. */
  readonly x: Float64Array
  /** N, which image of the data each is: the key of its noise. */
  readonly examples: readonly number[]
  /** The step of each image's term, N. */
  readonly steps: readonly VariationalStep[]
  readonly clip: CleanRange
  readonly seed: number
  readonly signal?: AbortSignal | undefined
}

export interface Term {
  readonly time: number
  /** Bits per dimension of the divergence; of the decoder of each kind at time 0. */
  readonly bits: Readonly<Record<DiscretizedGaussianKind, number>>
  /** Mean squared error of the predicted clean image, in the data's units. */
  readonly cleanError: number
  /** Mean squared error of the noise that the predicted clean image stands for. */
  readonly noiseError: number
}

/** One term of each image. The noise of x_t is keyed by (seed, t, example): a term does not depend on the others. */
export async function variationalTerms(request: TermRequest): Promise<Term[]> {
  const { denoiser, x, examples, steps, clip, seed, signal } = request
  const elements = elementsOf(x, examples.length, 'x')
  const levels = steps.map(({ from }) => from)
  const here = await encoded(denoiser, x, levels, signal)
  const before = await encoded(
    denoiser,
    x,
    steps.map(({ to }) => to),
    signal,
  )
  const noise = new Float64Array(x.length)
  const noisy = new Float64Array(x.length)
  for (const [n, { from }] of steps.entries()) {
    noise.set(normals(seed, 'forward', from.time, examples[n] ?? 0, elements), n * elements)
    for (let i = n * elements; i < (n + 1) * elements; i++) {
      noisy[i] = from.alpha * (here[i] ?? 0) + from.sigma * (noise[i] ?? 0)
    }
  }
  const denoised = await denoiser.denoise(noisy, levels, examples, signal)
  // y of the posterior; x itself, to the last digit, where nothing is learned.
  const aims = here.map((value, i) => {
    const step = steps[Math.floor(i / elements)]
    const moved = (before[i] ?? 0) - value
    return step && moved !== 0 ? value + gainOf(step.from, step.to) * moved : value
  })
  return steps.map((step, n) => oneTerm(step, x, aims, noisy, noise, denoised, clip, n * elements, (n + 1) * elements))
}

/** What is mixed with noise at the levels. */
export async function encoded(
  denoiser: LikelihoodDenoiser,
  x: Float64Array,
  levels: readonly Level[],
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  return denoiser.encode ? denoiser.encode(x, levels, signal) : x
}

function oneTerm(
  step: VariationalStep,
  x: Float64Array,
  aims: Float64Array,
  noisy: Float64Array,
  noise: Float64Array,
  { clean: predicted, variance }: Denoised,
  clip: CleanRange,
  begin: number,
  end: number,
): Term {
  const { alpha, sigma, time } = step.from
  const elements = end - begin
  const nats = { tanh: 0, erf: 0 } satisfies Record<DiscretizedGaussianKind, number>
  let cleanError = 0
  let noiseError = 0
  for (let i = begin; i < end; i++) {
    const [exact, from] = [x[i] ?? 0, noisy[i] ?? 0]
    const clean = limited(predicted[i] ?? Number.NaN, clip)
    cleanError += (clean - exact) ** 2 / elements
    noiseError += ((from - alpha * clean) / sigma - (noise[i] ?? 0)) ** 2 / elements
    const { mean, logVariance } = modelAt(step, from, clean, variance?.[i])
    if (time === 0) {
      nats.tanh -= discretizedGaussians.tanh(exact, mean, logVariance / 2)
      nats.erf -= discretizedGaussians.erf(exact, mean, logVariance / 2)
    } else {
      const posteriorMean = step.meanNoisy * from + step.meanClean * (aims[i] ?? 0)
      const divergence = normalDivergence(posteriorMean, step.logVariance, mean, logVariance)
      nats.tanh += divergence
      nats.erf += divergence
    }
  }
  const bits = { tanh: bitsPerDimension(nats.tanh, elements), erf: bitsPerDimension(nats.erf, elements) }
  return { time, bits, cleanError, noiseError }
}

/** Mean and log variance of the model's x_{t-1}, one element. */
export function modelAt(
  step: VariationalStep,
  noisy: number,
  clean: number,
  v: number | undefined,
): { readonly mean: number; readonly logVariance: number } {
  return {
    mean: step.meanNoisy * noisy + step.meanClean * clean,
    logVariance: step.halfRange === 0 ? step.middle : step.middle + step.halfRange * said(v),
  }
}

function said(v: number | undefined): number {
  if (v !== undefined) return v
  throw new DpmError(
    'DPM_INVALID_ARGUMENT',
    'The variance of the model is learned, but its denoiser says only the clean image. Return the variance beside it, or choose a fixed one.',
  )
}

export function limited(clean: number, clip: CleanRange): number {
  return clip ? Math.min(Math.max(clean, clip.low), clip.high) : clean
}

/** KL(q(x_T | x_0) || N(0, prior²)) of each image, bits per dimension; the prior is the schedule's at its noisiest time. */
export function priorTerms(schedule: Schedule, x: Float64Array, count: number): number[] {
  const elements = elementsOf(x, count, 'x')
  const level = schedule.level(schedule.noisiest)
  const logVariance = 2 * Math.log(level.sigma)
  const priorLogVariance = 2 * Math.log(schedule.prior(level))
  return Array.from({ length: count }, (_, n) => {
    let nats = 0
    for (let i = n * elements; i < (n + 1) * elements; i++) {
      nats += normalDivergence(level.alpha * (x[i] ?? 0), logVariance, 0, priorLogVariance)
    }
    return bitsPerDimension(nats, elements)
  })
}

/**
 * One time out of each of `count` equal parts of 1 … T - 1, each drawn evenly: the mean of their terms, times T - 1, has
 * the sum of all those terms for its expectation.
 * @param draws `count` numbers in (0, 1)
 */
export function stratifiedTimes({ steps }: DiscreteSchedule, draws: ArrayLike<number>): number[] {
  const count = draws.length
  return Array.from(draws, (u, k) => 1 + Math.min(steps - 2, Math.floor(((k + u) / count) * (steps - 1))))
}
