/**
 * From T - 1 downwards in strides of T / count, rounded (Lin et al. 2023, arXiv 2305.08891, table 2, "trailing"): the first
 * step starts where there is no signal.
 */
import * as z from 'zod'
import { defineSpacing, roundHalfToEven, wholeTimes } from './spacing.js'

export const trailingSpacing = defineSpacing({
  name: 'trailing',
  options: z.strictObject({ kind: z.literal('trailing') }),
  wholeTimes: true,
  create: () =>
    wholeTimes('trailing', (total, count) =>
      Array.from({ length: count }, (_, i) => roundHalfToEven(total - (i * total) / count) - 1),
    ),
})
