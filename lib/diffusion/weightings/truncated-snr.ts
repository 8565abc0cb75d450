/**
 * Weight max(alpha² / sigma², 1) on the clean image's error (Salimans and Ho 2022, arXiv 2202.00512, §4): levels that are
 * almost noise count too.
 */
import * as z from 'zod'
import { defineWeighting, signalToNoise } from '../weighting.js'

export const truncatedSnr = defineWeighting({
  name: 'truncated-snr',
  options: z.strictObject({ kind: z.literal('truncated-snr') }),
  create: () => {
    return (level, { cOut }) => Math.max(signalToNoise(level), 1) * cOut * cOut
  },
})
