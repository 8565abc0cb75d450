/**
 * Evenly in lambda = ln(alpha / sigma), half the log signal-to-noise ratio, both ends included (DPM-Solver, Lu et al. 2022, arXiv
 * 2206.00927, appendix; diffusers' `use_lu_lambdas`). The levels are those of `exponential`: the name that
 * the solver's paper uses.
 */
import * as z from 'zod'
import { atRatios, ratioRange, ratioRangeOptions } from './ratio-range.js'
import { defineSpacing } from './spacing.js'

export const logSnrSpacing = defineSpacing({
  name: 'log-snr',
  options: z.strictObject({ kind: z.literal('log-snr'), ...ratioRangeOptions }),
  wholeTimes: false,
  create: (settings) => (schedule, count) => {
    const range = ratioRange('log-snr', schedule, settings, count)
    const [first, last] = [-Math.log(range.sigmaMax), -Math.log(range.sigmaMin)]
    return atRatios(schedule, range, count, (share) => Math.exp(-(first + share * (last - first))))
  },
})
