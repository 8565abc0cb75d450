/**
 * Weight min(alpha² / sigma², gamma) on the clean image's error (Hang et al. 2023, arXiv 2303.09556, §3.4): the almost
 * clean levels no longer outweigh the others.
 */
import * as z from 'zod'
import { defineWeighting, signalToNoise } from '../weighting.js'

export const minSnr = defineWeighting({
  name: 'min-snr',
  options: z.strictObject({
    kind: z.literal('min-snr'),
    gamma: z.number().positive().default(5).describe('largest weight on the error of the clean image'),
  }),
  create:
    ({ gamma }) =>
    (level, { cOut }) =>
      Math.min(signalToNoise(level), gamma) * cOut * cOut,
})
