/** Which of the named schedules a file's betas are, and what its weights of the loss say of the objective. */
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../diffusion/diffusion-options.js'
import { posterior } from '../../diffusion/posterior.js'
import { type DiscreteSchedule, type Level, requireDiscrete } from '../../diffusion/schedule.js'

export type ScheduleOptions = NonNullable<DiffusionOptions['schedule']>
export type PackageSchedule = 'linear' | 'cosine' | 'sigmoid'
export type PackageObjective = 'pred_noise' | 'pred_x0' | 'pred_v'

/**
 * Stored in float32; and the package rounds the ends of its sigmoid to float32, which shows at the last times: 1e-4 of beta with
 * 4000 steps, though never more than 1e-6 of alpha or sigma.
 */
const tolerance = 2e-4

/** The schedules of denoising-diffusion-pytorch, by its names. */
export function packageSchedule(name: PackageSchedule, steps: number): ScheduleOptions {
  return name === 'linear' ? { kind: 'linear', steps, scaleToSteps: true } : { kind: name, steps }
}

export function discreteSchedule(options: ScheduleOptions): DiscreteSchedule {
  return requireDiscrete(createSchedule(parseDiffusion({ schedule: options }).schedule), 'A model of discrete times')
}

/** The name of the schedule that has these betas at every time; undefined where none has. */
export function scheduleOfBetas(betas: ArrayLike<number>): PackageSchedule | undefined {
  return (['linear', 'cosine', 'sigmoid'] as const).find((name) => {
    try {
      const schedule = discreteSchedule(packageSchedule(name, betas.length))
      return everyTime(schedule, (level, time) => {
        return isClose(betas[time], posterior(level, schedule.level(time - 1)).forwardVariance)
      })
    } catch {
      // So few steps that the schedule of this name does not exist.
      return false
    }
  })
}

export interface FoundObjective {
  readonly objective: PackageObjective
  /** Where the weights stop growing with the signal (min-SNR); Infinity where they do not. */
  readonly gamma: number
}

/**
 * The objectives whose weights of the loss these are. On the clean image's error every one weighs min(snr, gamma), which is
 * min(snr, gamma) / snr on the noise's and min(snr, gamma) / (snr + 1) on the velocity's.
 */
export function objectivesOfWeights(weights: ArrayLike<number>, schedule: DiscreteSchedule): FoundObjective[] {
  const spread: Record<PackageObjective, (snr: number) => number> = {
    pred_noise: (snr) => snr,
    pred_x0: () => 1,
    pred_v: (snr) => snr + 1,
  }
  const names = ['pred_noise', 'pred_x0', 'pred_v'] as const
  return names.flatMap((objective) => {
    const onClean = (level: Level, time: number): number =>
      (weights[time] ?? Number.NaN) * spread[objective](snrOf(level))
    // The weight is largest, and clipped where anything is, at the time of the least noise.
    const first = onClean(schedule.level(0), 0)
    const gamma = isClose(first, snrOf(schedule.level(0))) ? Number.POSITIVE_INFINITY : first
    const fits = everyTime(schedule, (level, time) => isClose(onClean(level, time), Math.min(snrOf(level), gamma)))
    return fits ? [{ objective, gamma }] : []
  })
}

function everyTime({ steps, level }: DiscreteSchedule, holds: (level: Level, time: number) => boolean): boolean {
  return Array.from({ length: steps }, (_, time) => holds(level(time), time)).every(Boolean)
}

function snrOf({ alpha, sigma }: Level): number {
  return (alpha / sigma) ** 2
}

function isClose(found: number | undefined, wanted: number): boolean {
  return found !== undefined && Math.abs(found / wanted - 1) <= tolerance
}
