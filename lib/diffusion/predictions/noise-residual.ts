/**
 * The network predicts what is missing from x_t to the noise, noise = x_t + F (VDM: Kingma et al. 2021, arXiv 2107.00630, their code:
 * where almost all is noise, a network that says nothing is right): clean = ((1 - sigma) x_t - sigma F) / alpha.
 */
import * as z from 'zod'
import { definePrediction } from '../prediction.js'
import { requireSignalFor, withSignal } from './noise.js'

export const noiseResidualPrediction = definePrediction({
  name: 'noise-residual',
  options: z.strictObject({ kind: z.literal('noise-residual') }),
  create(_, schedule) {
    requireSignalFor('noise-residual', schedule)
    return {
      name: 'noise-residual',
      numbers(level) {
        const { alpha, sigma } = withSignal('noise-residual', level)
        return {
          cIn: 1,
          cSkip: (1 - sigma) / alpha,
          cOut: -sigma / alpha,
          targetClean: -alpha,
          targetNoise: 1 - sigma,
        }
      },
    }
  },
})
