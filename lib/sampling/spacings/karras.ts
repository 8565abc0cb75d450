/**
 * Karras et al. 2022 (arXiv 2206.00364, eq. 5), for any schedule in terms of its ratio r = sigma / alpha: evenly in r^(1 / rho),
 *
 *     r_i = (rMax^(1/rho) + i / (count - 1) · (rMin^(1/rho) - rMax^(1/rho)))^rho,   i = 0 … count - 1
 *
 * rho 7 makes many small steps near the clean image; rho 1 is even in r. Of a discrete schedule, levels lie between its times.
 */
import * as z from 'zod'
import { atRatios, ratioRange, ratioRangeOptions } from './ratio-range.js'
import { defineSpacing } from './spacing.js'

export const karrasSpacing = defineSpacing({
  name: 'karras',
  options: z.strictObject({
    kind: z.literal('karras'),
    rho: z.number().gt(0).default(7).describe('how much denser the levels get towards the clean image'),
    ...ratioRangeOptions,
  }),
  wholeTimes: false,
  create: (settings) => (schedule, count) => {
    const { rho } = settings
    const range = ratioRange('karras', schedule, settings, count)
    const [low, high] = [range.sigmaMin ** (1 / rho), range.sigmaMax ** (1 / rho)]
    return atRatios(schedule, range, count, (share) => (high + share * (low - high)) ** rho)
  },
})
