/**
 * The network predicts the noise (Ho et al. 2020, §3.2): clean = (x_t - sigma F) / alpha.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { definePrediction } from '../prediction.js'

export const noisePrediction = definePrediction({
  name: 'noise',
  options: z.strictObject({ kind: z.literal('noise') }),
  create: () => ({
    name: 'noise',
    numbers({ alpha, sigma, time }) {
      if (alpha === 0) {
        throw new DpmError(
          'DPM_INVALID_ARGUMENT',
          `The schedule has no signal left at time ${time} (alpha is 0), so the clean image does not follow from predicted noise. Use the prediction "velocity" or "clean".`,
        )
      }
      return { cIn: 1, cSkip: 1 / alpha, cOut: -sigma / alpha, targetClean: 0, targetNoise: 1 }
    },
  }),
})
