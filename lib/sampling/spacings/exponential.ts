/**
 * Evenly in ln(sigma / alpha), both ends included, so that sigma / alpha falls geometrically (k-diffusion's and diffusers'
 * "exponential"). ln(sigma / alpha) is minus half the log signal-to-noise ratio: `log-snr` visits the same levels.
 */
import * as z from 'zod'
import { atRatios, ratioRange, ratioRangeOptions } from './ratio-range.js'
import { defineSpacing } from './spacing.js'

export const exponentialSpacing = defineSpacing({
  name: 'exponential',
  options: z.strictObject({ kind: z.literal('exponential'), ...ratioRangeOptions }),
  wholeTimes: false,
  create: (settings) => (schedule, count) => {
    const range = ratioRange('exponential', schedule, settings, count)
    const { sigmaMin, sigmaMax } = range
    return atRatios(schedule, range, count, (share) => sigmaMax * (sigmaMin / sigmaMax) ** share)
  },
})
