/**
 * The distribution q(x_s | x_t, x_0) of a less noisy level s given a noisier level t and the clean image (Ho et al. 2020,
 * eq. 6–7, for any two levels). With r = alpha_t / alpha_s and beta_{t|s} = sigma_t² - r² sigma_s², the variance of
 * x_t given x_s,
 *
 *     mean = r sigma_s² / sigma_t² · x_t + alpha_s beta_{t|s} / sigma_t² · x_0
 *     variance = beta_{t|s} sigma_s² / sigma_t²
 */
import { DpmError, expected } from '../errors.js'
import type { DiscreteSchedule, Level } from './schedule.js'

/** Variances of a sampling step that follow from the schedule: the posterior's (beta-tilde), or the forward step's (beta). */
export const fixedVarianceKinds = ['fixed-small', 'fixed-large'] as const
export type FixedVarianceKind = (typeof fixedVarianceKinds)[number]

/** What a network with twice the channels says: the log variance itself, or how far it lies between the fixed two. */
export const learnedVarianceKinds = ['learned', 'learned-range'] as const
export type LearnedVarianceKind = (typeof learnedVarianceKinds)[number]

/** Which variance a sampling step takes. */
export const varianceKinds = [...fixedVarianceKinds, ...learnedVarianceKinds] as const
export type VarianceKind = (typeof varianceKinds)[number]

export function isLearned(kind: VarianceKind): kind is LearnedVarianceKind {
  return learnedVarianceKinds.some((one) => one === kind)
}

export interface Posterior {
  /** Factor of x_t in the mean of x_s. */
  readonly meanNoisy: number
  /** Factor of x_0 in the mean of x_s. */
  readonly meanClean: number
  /** Posterior variance, 0 when s is the clean level; `fixed-small` of Ho et al. 2020, §3.2. */
  readonly variance: number
  /** beta_{t|s}, the variance of x_t given x_s; `fixed-large`. */
  readonly forwardVariance: number
}

/**
 * @param from level t
 * @param to level s, less noisy than t
 * @throws DpmError DPM_INVALID_ARGUMENT when `to` is not less noisy than `from`.
 */
export function posterior(from: Level, to: Level): Posterior {
  // Comparing alpha_t sigma_s with alpha_s sigma_t compares noise-to-signal ratios without dividing by an alpha of 0.
  if (!(from.alpha * to.sigma < to.alpha * from.sigma)) {
    throw new DpmError(
      'DPM_INVALID_ARGUMENT',
      `Expected a step towards less noise but the one from time ${from.time} to time ${to.time} is not. Give the levels from the noisiest to the cleanest.`,
    )
  }
  const ratio = from.alpha / to.alpha
  const noisy = from.sigma * from.sigma
  const cleaner = to.sigma * to.sigma
  // For alpha² + sigma² = 1 this is 1 - r², in a form that keeps the digits of a small beta.
  const forwardVariance = noisy - ratio * ratio * cleaner
  return {
    meanNoisy: (ratio * cleaner) / noisy,
    meanClean: (to.alpha * forwardVariance) / noisy,
    variance: (forwardVariance * cleaner) / noisy,
    forwardVariance,
  }
}

/** Of a step that stays where it is, as the last of a run that ends with noise may. */
const still: Posterior = { meanNoisy: 1, meanClean: 0, variance: 0, forwardVariance: 0 }

/** The same for a step of a run, which may stay where it is. @throws DpmError DPM_INVALID_ARGUMENT when `to` is noisier. */
export function stepPosterior(from: Level, to: Level): Posterior {
  return staysAt(from, to) ? still : posterior(from, to)
}

/** Whether a step stays at a level that has noise. */
export function staysAt(from: Level, to: Level): boolean {
  return from.alpha === to.alpha && from.sigma === to.sigma && from.sigma > 0
}

/** The fixed variance of a sampling step by kind. */
export const variances = {
  'fixed-small': (q) => q.variance,
  'fixed-large': (q) => q.forwardVariance,
} as const satisfies Record<FixedVarianceKind, (q: Posterior) => number>

/**
 * What stands in for the logarithm of the posterior variance at time 0, which is log 0. No sample changes, because the
 * last step adds no noise, but bounds on the likelihood and learned variances do:
 * `second-step` takes the value of time 1 (the final code of Ho et al., improved and guided diffusion);
 * `floor` takes log 1e-20 (the first code of Ho et al., diffusers).
 */
export const logVarianceClips = ['second-step', 'floor'] as const
export type LogVarianceClip = (typeof logVarianceClips)[number]

const varianceFloor = 1e-20

/**
 * Logarithm of the variance of the step from `time` to `time - 1`, finite also at time 0.
 * With `second-step`, `fixed-large` too takes the posterior variance of time 1 at time 0, as the code of Ho et al. does.
 */
export function clippedLogVariance(
  schedule: DiscreteSchedule,
  time: number,
  kind: FixedVarianceKind,
  clip: LogVarianceClip,
): number {
  if (!Number.isInteger(time) || time < 0 || time >= schedule.steps) {
    throw expected(`a whole number from 0 to ${schedule.steps - 1}`, 'time', time)
  }
  const step = (at: number): Posterior => posterior(schedule.level(at), schedule.level(at - 1))
  const clips = {
    'second-step': () =>
      Math.log(time > 0 ? variances[kind](step(time)) : schedule.steps > 1 ? step(1).variance : varianceFloor),
    floor: () => Math.log(Math.max(variances[kind](step(time)), varianceFloor)),
  } satisfies Record<LogVarianceClip, () => number>
  return clips[clip]()
}

/** log variance = middle + halfRange · v of a network that says v. */
export interface LearnedLogVariance {
  readonly middle: number
  readonly halfRange: number
}

/**
 * How a learned variance follows from the network's v, for the step from one level to another.
 * `learned`: v is the log variance. `learned-range` (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 15): v from -1 to 1
 * interpolates between the logs of the posterior's variance and of beta.
 */
export const learnedLogVariances = {
  learned: () => ({ middle: 0, halfRange: 1 }),
  'learned-range': (q) => {
    const low = Math.log(Math.max(q.variance, varianceFloor))
    const high = Math.log(q.forwardVariance)
    return { middle: (high + low) / 2, halfRange: (high - low) / 2 }
  },
} as const satisfies Record<LearnedVarianceKind, (q: Posterior) => LearnedLogVariance>
