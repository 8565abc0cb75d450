/**
 * A schedule maps a time to a level: x_t = alpha(t) * x_0 + sigma(t) * noise.
 *
 * Everything here is float64 and free of tensors.
 */
import { DpmError } from '../errors.js'
import type { Learner } from './learned/learner.js'

/** How much of the data and how much noise is in x at one time. */
export interface Level {
  readonly alpha: number
  readonly sigma: number
  /** Schedule time; of an interpolated level of a discrete schedule it may lie between whole numbers. */
  readonly time: number
  /** d ln(alpha² / sigma²) / dt, where the schedule says it itself. */
  readonly logSnrSlope?: number
}

export interface Schedule {
  readonly name: string
  /** T, the number of times of a discrete schedule: 0 (least noise) … T-1 (most). Undefined where time is continuous. */
  readonly steps: number | undefined
  /** Time of the least noise that a network sees: 0 for a discrete schedule. */
  readonly cleanest: number
  /** Time of the most noise: T - 1 for a discrete schedule. */
  readonly noisiest: number
  /** The image itself: alpha 1, sigma 0; at time -1 of a discrete schedule, at the time that has no noise otherwise. */
  readonly clean: Level
  /**
   * The level at a time. Between the whole times of a discrete schedule, log(sigma / alpha) is linear.
   * @throws DpmError DPM_INVALID_ARGUMENT for a time outside `cleanest` … `noisiest` that is not the clean one.
   */
  level(time: number): Level
  /** The level at which sigma / alpha is `ratio` (above 0, finite); a time beyond the ends is drawn to the nearer end. */
  atRatio(ratio: number): Level
  /** What makes the levels, where training does. */
  readonly learner?: Learner
  /** Standard deviation of x where sampling starts at this level: 1 where variance is preserved, sigma where it explodes. */
  prior(level: Level): number
}

/** A schedule whose times are the whole numbers 0 … T-1. */
export type DiscreteSchedule = Schedule & { readonly steps: number }

/** The image itself, before the first time of a discrete schedule. */
export const cleanLevel: Level = Object.freeze({ alpha: 1, sigma: 0, time: -1 })

/** @param who what needs whole times, for the message */
export function requireDiscrete(schedule: Schedule, who: string): DiscreteSchedule {
  if (schedule.steps !== undefined) return schedule as DiscreteSchedule
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `${who} needs a schedule of discrete times, but time is continuous in schedule \`${schedule.name}\`. Choose another schedule, or something that knows continuous time.`,
  )
}

/** sigma / alpha: Infinity where no signal is left. */
export function ratioOf({ alpha, sigma }: Level): number {
  return sigma / alpha
}

/**
 * For what divides by alpha at every level.
 * @param who what needs it, for the message
 * @throws DpmError DPM_INVALID_OPTION when no signal is left at the schedule's noisiest time.
 */
export function requireSignal(schedule: Schedule, who: string, cure: string): void {
  if (schedule.level(schedule.noisiest).alpha > 0) return
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `${who} needs some signal at every time, but schedule \`${schedule.name}\` has none left at time ${schedule.noisiest} (alpha is 0). ${cure}`,
  )
}

/**
 * sigma / alpha that pure noise may stand in for: a fifth of the power is signal then. Of the published schedules of 200 steps or more,
 * DiffWave's (Kong et al. 2021, arXiv 2009.09761: betas from 1e-4 to 0.02, 200 steps) keeps the most signal, at ratio 2.55. Short
 * ones in use for vocoders end at 1.6 (1e-4 to 0.05, 50 steps) and 0.53 (1e-6 to 0.01, 50 steps): one hears it.
 */
const leastNoise = 2

/**
 * For sampling that starts from noise alone.
 * @param first the level of the start; the noisiest of the schedule when absent
 * @throws DpmError DPM_INVALID_OPTION when so much signal is left there that noise alone is another distribution.
 */
export function requireNoise(schedule: Schedule, first: Level = schedule.level(schedule.noisiest)): void {
  const { alpha, sigma, time } = first
  if (sigma >= leastNoise * alpha) return
  const share = (alpha * alpha) / (alpha * alpha + sigma * sigma)
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Sampling starts from noise alone, but schedule \`${schedule.name}\` still has signal at time ${time}: abar is ${Number(share.toPrecision(3))}, sigma / alpha ${Number((sigma / alpha).toPrecision(3))}; at least ${leastNoise} is expected. Use larger betas, more steps or a spacing that begins later, or start from an image.`,
  )
}
