/**
 * The network predicts noise - clean: dx/dt on the straight paths x_t = (1 - t) clean + t noise of rectified flow (Liu et al. 2022,
 * arXiv 2209.03003, eq. 1) and flow matching (Lipman et al. 2022, arXiv 2210.02747, eq. 23), whose time runs the other
 * way. At any level
 *
 *     clean = (x_t - sigma F) / (alpha + sigma)
 */
import * as z from 'zod'
import { definePrediction } from '../prediction.js'

export const flowPrediction = definePrediction({
  name: 'flow',
  options: z.strictObject({ kind: z.literal('flow') }),
  create: () => ({
    name: 'flow',
    numbers({ alpha, sigma }) {
      const sum = alpha + sigma
      return { cIn: 1, cSkip: 1 / sum, cOut: -sigma / sum, targetClean: -1, targetNoise: 1 }
    },
  }),
})
