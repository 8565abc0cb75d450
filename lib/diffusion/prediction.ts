/** What the network's output F means, as numbers per level. Each prediction is one file in `predictions/`. */
import type { Level } from './schedule.js'

/**
 * The four numbers that tie a network's output F to the clean image and to its training target:
 * clean = cSkip * x_t + cOut * F, and F is trained towards targetClean * x_0 + targetNoise * noise;
 * the network is given cIn * x_t.
 */
export interface PredictionNumbers {
  readonly cIn: number
  readonly cSkip: number
  readonly cOut: number
  readonly targetClean: number
  readonly targetNoise: number
}

export interface Prediction {
  readonly name: string
  numbers(level: Level): PredictionNumbers
}
