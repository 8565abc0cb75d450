/**
 * Weight (r² + sigmaData²) / (r sigmaData)² on the clean image's error, r = sigma / alpha (Karras et al. 2022, arXiv 2206.00364,
 * table 1): 1 on the network's own target where its prediction is "edm" with the same sigmaData.
 */
import * as z from 'zod'
import { defineWeighting } from '../weighting.js'

export const edmWeighting = defineWeighting({
  name: 'edm',
  options: z.strictObject({
    kind: z.literal('edm'),
    sigmaData: z.number().gt(0).default(0.5).describe('standard deviation of the data'),
  }),
  create: ({ sigmaData }) => {
    return ({ alpha, sigma }, { cOut }) =>
      (((alpha * sigmaData) ** 2 + sigma * sigma) * cOut * cOut) / (sigma * sigmaData) ** 2
  },
})
