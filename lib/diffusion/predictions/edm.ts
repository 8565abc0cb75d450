/**
 * EDM's preconditioning: Karras et al. 2022 (arXiv 2206.00364, eq. 7 and table 1), for any schedule. With D² = alpha² sigmaData² +
 * sigma², the variance of x_t,
 *
 *     cIn = 1 / D,   cSkip = alpha sigmaData² / D²,   cOut = sigma sigmaData / D
 *
 * which are the published numbers where alpha is 1. By the same argument as theirs (appendix B.6) input and target have
 * variance 1, and cOut is as small as can be.
 */
import * as z from 'zod'
import { definePrediction } from '../prediction.js'

export const edmPrediction = definePrediction({
  name: 'edm',
  options: z.strictObject({
    kind: z.literal('edm'),
    sigmaData: z.number().gt(0).default(0.5).describe('standard deviation of the data'),
  }),
  create: ({ sigmaData }) => ({
    name: 'edm',
    numbers({ alpha, sigma }) {
      const power = alpha * alpha * sigmaData * sigmaData + sigma * sigma
      const deviation = Math.sqrt(power)
      return {
        cIn: 1 / deviation,
        cSkip: (alpha * sigmaData * sigmaData) / power,
        cOut: (sigma * sigmaData) / deviation,
        targetClean: sigma / (sigmaData * deviation),
        targetNoise: (-alpha * sigmaData) / deviation,
      }
    },
  }),
})
