/**
 * The network predicts v = alpha · noise - sigma · clean (Salimans and Ho 2022, arXiv 2202.00512, appendix D), so
 * clean = (alpha x_t - sigma F) / (alpha² + sigma²); the divisor is 1 where variance is preserved.
 */
import * as z from 'zod'
import { definePrediction } from '../prediction.js'

export const velocityPrediction = definePrediction({
  name: 'velocity',
  options: z.strictObject({ kind: z.literal('velocity') }),
  create: () => ({
    name: 'velocity',
    numbers({ alpha, sigma }) {
      const power = alpha * alpha + sigma * sigma
      return { cIn: 1, cSkip: alpha / power, cOut: -sigma / power, targetClean: -sigma, targetNoise: alpha }
    },
  }),
})
