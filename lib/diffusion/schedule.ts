/**
 * A schedule maps a time to a level: x_t = alpha(t) * x_0 + sigma(t) * noise.
 *
 * Everything here is float64 and free of tensors.
 */

/** How much of the data and how much noise is in x at one time; `label` is the time as the network is told it. */
export interface Level {
  readonly alpha: number
  readonly sigma: number
  /** Schedule time. Discrete schedules count 0 (least noise) … T-1 (most); -1 is the clean image. */
  readonly time: number
}

export interface Schedule {
  readonly name: string
  /** T, the number of discrete times. */
  readonly steps: number
  /** The level at a discrete time 0 … T-1, or the clean level {1, 0} at -1. */
  level(time: number): Level
}

/** The image itself. */
export const cleanLevel: Level = { alpha: 1, sigma: 0, time: -1 }
