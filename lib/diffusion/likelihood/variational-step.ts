/**
 * The numbers of one term of the variational bound: from a time t of a discrete schedule to t - 1, the posterior
 * q(x_{t-1} | x_t, x_0) with the logarithm of its variance, and the logarithm of the model's.
 */
import {
  clippedLogVariance,
  type FixedVarianceKind,
  type LearnedVarianceKind,
  type LogVarianceClip,
  posterior,
  type VarianceKind,
} from '../posterior.js'
import type { DiscreteSchedule, Level } from '../schedule.js'

export interface VariationalStep {
  readonly from: Level
  readonly to: Level
  /** Factors of x_t and of the clean image in the mean of x_{t-1}, the posterior's and the model's. */
  readonly meanNoisy: number
  readonly meanClean: number
  /** Of the posterior. At time 0, where the posterior has no variance, by the clip that was chosen; no term reads it. */
  readonly logVariance: number
  /** The model's log variance is middle + halfRange · v; a fixed one has a halfRange of 0. */
  readonly middle: number
  readonly halfRange: number
}

interface ModelVariance {
  readonly middle: number
  readonly halfRange: number
}

/**
 * As improved diffusion has them: the ends of a learned range are the posterior's variance, clipped at time 0 as the
 * fixed one is, and beta (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 15).
 */
const modelVariances = {
  'fixed-small': fixed('fixed-small'),
  'fixed-large': fixed('fixed-large'),
  learned: () => ({ middle: 0, halfRange: 1 }),
  'learned-range': (schedule, time, clip) => {
    const low = clippedLogVariance(schedule, time, 'fixed-small', clip)
    const high = Math.log(posterior(schedule.level(time), schedule.level(time - 1)).forwardVariance)
    return { middle: (low + high) / 2, halfRange: (high - low) / 2 }
  },
} as const satisfies Record<
  FixedVarianceKind | LearnedVarianceKind,
  (schedule: DiscreteSchedule, time: number, clip: LogVarianceClip) => ModelVariance
>

function fixed(kind: FixedVarianceKind) {
  return (schedule: DiscreteSchedule, time: number, clip: LogVarianceClip): ModelVariance => ({
    middle: clippedLogVariance(schedule, time, kind, clip),
    halfRange: 0,
  })
}

/** @throws DpmError DPM_INVALID_ARGUMENT for a time that is not of the schedule. */
export function variationalStep(
  schedule: DiscreteSchedule,
  time: number,
  variance: VarianceKind,
  clip: LogVarianceClip,
): VariationalStep {
  const from = schedule.level(time)
  const to = schedule.level(time - 1)
  const { meanNoisy, meanClean } = posterior(from, to)
  return {
    from,
    to,
    meanNoisy,
    meanClean,
    logVariance: clippedLogVariance(schedule, time, 'fixed-small', clip),
    ...modelVariances[variance](schedule, time, clip),
  }
}
