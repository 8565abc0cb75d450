/** Ratios sigma / alpha as a list, the noisiest first: where alpha is 1, these are the sigmas of another system's run. */
import * as z from 'zod'
import { requireRatio } from './ratio-range.js'
import { defineSpacing } from './spacing.js'

export const ratiosSpacing = defineSpacing({
  name: 'ratios',
  options: z.strictObject({
    kind: z.literal('ratios'),
    ratios: z.array(z.number().gt(0)).min(1).max(1_000_000).describe('sigma / alpha to visit, the largest first'),
  }),
  wholeTimes: false,
  count: ({ ratios }) => ratios.length,
  create:
    ({ ratios }) =>
    (schedule) =>
      ratios.map((ratio) => schedule.atRatio(requireRatio('ratios', schedule, ratio))),
})
