/**
 * From what one prediction says at a level to what another would say there. Both are linear in the image and the noise,
 * F = targetClean · clean + targetNoise · noise, and so is x = alpha · clean + sigma · noise: with x, any one F gives
 * clean and noise (two equations, Cramer's rule), and these give every other.
 */
import { expected } from '../errors.js'
import type { PredictionNumbers } from './prediction.js'
import type { Level } from './schedule.js'

/** F of the other prediction = noisy · x_t + output · F. */
export interface Conversion {
  readonly noisy: number
  readonly output: number
}

/**
 * @param from numbers at this level of the prediction that F is
 * @param to numbers at this level of the prediction that is wanted
 * @throws DpmError DPM_INVALID_ARGUMENT at a level where F says nothing beyond x, as noise does where alpha is 0.
 */
export function conversion(level: Level, from: PredictionNumbers, to: PredictionNumbers): Conversion {
  for (const [name, given] of Object.entries({ level, from, to })) {
    if (typeof given !== 'object' || given === null) throw expected('an object of numbers', name, given)
  }
  const { alpha, sigma } = level
  const determinant = alpha * from.targetNoise - sigma * from.targetClean
  if (determinant === 0) {
    throw expected('a level where the prediction tells the image from the noise', 'level', level)
  }
  return {
    noisy: (to.targetClean * from.targetNoise - to.targetNoise * from.targetClean) / determinant,
    output: (alpha * to.targetNoise - sigma * to.targetClean) / determinant,
  }
}
