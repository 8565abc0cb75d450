/** The number by which the network is told the time; it must be the same in training and in sampling. */
import type { Level } from './schedule.js'

/**
 * `step`: t = 0 … T-1 (Ho et al. 2020). `thousandths`: 1000 t / T, so that networks of different T share a scale
 * (improved DDPM's rescaled times). `fraction`: (t + 1) / T in (0, 1], as the course of the sprites data has it.
 */
export const timeLabels = {
  step: (time: number) => time,
  thousandths: (time: number, steps: number) => (1000 * time) / steps,
  fraction: (time: number, steps: number) => (time + 1) / steps,
} as const satisfies Record<string, (time: number, steps: number) => number>

export type TimeLabel = keyof typeof timeLabels

/** The label of a level. */
export type Labeller = (level: Level) => number

export function createLabeller(label: TimeLabel, steps: number): Labeller {
  return ({ time }) => timeLabels[label](time, steps)
}
