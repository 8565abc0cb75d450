/** The number by which the network is told the time; it must be the same in training and in sampling. */
import { type Level, ratioOf, requireDiscrete, type Schedule } from './schedule.js'

/** The label of a level. */
export type Labeller = (level: Level) => number

/**
 * `step`: t = 0 … T-1 (Ho et al. 2020). `thousandths`: 1000 t / T, so that networks of different T share a scale
 * (improved DDPM's rescaled times); 1000 t where time is continuous. `fraction`: (t + 1) / T in (0, 1], as the course of
 * the sprites data has it; t itself where time is continuous.
 */
export const timeLabels = {
  step: (schedule) => {
    requireDiscrete(schedule, 'The time label "step"')
    return ({ time }) => time
  },
  thousandths: ({ steps = 1 }) => {
    return ({ time }) => (1000 * time) / steps
  },
  fraction: ({ steps }) => {
    return steps === undefined ? ({ time }) => time : ({ time }) => (time + 1) / steps
  },
  /** ln(sigma / alpha) / 4 (EDM). */
  'quarter-log-ratio': () => (level) => Math.log(ratioOf(level)) / 4,
} as const satisfies Record<string, (schedule: Schedule) => Labeller>

export type TimeLabel = keyof typeof timeLabels

/** @throws DpmError DPM_INVALID_OPTION when the label does not fit the schedule. */
export function createLabeller(label: TimeLabel, schedule: Schedule): Labeller {
  return timeLabels[label](schedule)
}
