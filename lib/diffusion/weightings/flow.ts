/**
 * Weight 1 on the error of noise - clean, whatever the network predicts: ((alpha + sigma) / sigma)² on the clean image's error
 * (flow matching: Lipman et al. 2022, arXiv 2210.02747, eq. 23).
 */
import * as z from 'zod'
import { defineWeighting } from '../weighting.js'

export const flowWeighting = defineWeighting({
  name: 'flow',
  options: z.strictObject({ kind: z.literal('flow') }),
  create: () => {
    return ({ alpha, sigma }, { cOut }) => (((alpha + sigma) * cOut) / sigma) ** 2
  },
})
