/**
 * The network predicts the noise (Ho et al. 2020, arXiv 2006.11239, §3.2): clean = (x_t - sigma F) / alpha.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { definePrediction } from '../prediction.js'
import { type Level, requireSignal, type Schedule } from '../schedule.js'

export const noisePrediction = definePrediction({
  name: 'noise',
  options: z.strictObject({ kind: z.literal('noise') }),
  create(_, schedule) {
    requireSignalFor('noise', schedule)
    return {
      name: 'noise',
      numbers(level) {
        const { alpha, sigma } = withSignal('noise', level)
        return { cIn: 1, cSkip: 1 / alpha, cOut: -sigma / alpha, targetClean: 0, targetNoise: 1 }
      },
    }
  },
})

/** @throws DpmError DPM_INVALID_OPTION when the schedule ends where the prediction says nothing about the image. */
export function requireSignalFor(name: string, schedule: Schedule): void {
  requireSignal(schedule, `The prediction "${name}"`, 'Use the prediction "velocity" or "clean", or another schedule.')
}

/** @throws DpmError DPM_INVALID_ARGUMENT for a level without signal. */
export function withSignal(name: string, level: Level): Level {
  if (level.alpha > 0) return level
  throw new DpmError(
    'DPM_INVALID_ARGUMENT',
    `The schedule has no signal left at time ${level.time} (alpha is 0), so the clean image does not follow from predicted ${name}. Use the prediction "velocity" or "clean".`,
  )
}
