/**
 * Weight snr / (k + snr)^gamma on the clean image's error, snr = alpha² / sigma²: L_simple divided by (k + snr)^gamma, so that
 * the almost clean levels, where only imperceptible detail is left to predict, count less (Choi et al. 2022, arXiv
 * 2204.00227, eq. 8).
 */
import * as z from 'zod'
import { defineWeighting, signalToNoise } from '../weighting.js'

export const p2 = defineWeighting({
  name: 'p2',
  options: z.strictObject({
    kind: z.literal('p2'),
    k: z.number().positive().default(1).describe('keeps the weight finite; 1 in the paper'),
    gamma: z.number().min(0).default(1).describe('how fast the weight falls; 0.5 or 1 in the paper, 0 is L_simple'),
  }),
  create: ({ k, gamma }) => {
    return (level, { cOut }) => {
      const snr = signalToNoise(level)
      return (snr * cOut * cOut) / (k + snr) ** gamma
    }
  },
})
