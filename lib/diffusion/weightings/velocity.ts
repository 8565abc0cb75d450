/**
 * Weight 1 on the error of v = alpha · noise - sigma · clean, whatever the network predicts: (alpha² + sigma²)² / sigma² on the
 * clean image's error, which is snr + 1 where variance is preserved (Salimans and Ho 2022, arXiv 2202.00512, §4).
 */
import * as z from 'zod'
import { defineWeighting } from '../weighting.js'

export const velocityWeighting = defineWeighting({
  name: 'velocity',
  options: z.strictObject({ kind: z.literal('velocity') }),
  create: () => {
    return ({ alpha, sigma }, { cOut }) => (((alpha * alpha + sigma * sigma) * cOut) / sigma) ** 2
  },
})
