/**
 * Weight alpha² / sigma² on the clean image's error (Salimans and Ho 2022, arXiv 2202.00512, §4): L_simple for a network
 * of any prediction.
 */
import * as z from 'zod'
import { defineWeighting, signalToNoise } from '../weighting.js'

export const snr = defineWeighting({
  name: 'snr',
  options: z.strictObject({ kind: z.literal('snr') }),
  create:
    () =>
    (level, { cOut }) =>
      signalToNoise(level) * cOut * cOut,
})
