/**
 * One draw u for a batch of N, its times at shares (u + i / N) mod 1: each time even over the range, the batch spread as evenly as
 * can be (Kingma et al. 2021, arXiv 2107.00630, appendix I.1). u is keyed by (seed, step).
 */
import * as z from 'zod'
import { uniform } from '../../random/philox.js'
import { defineTimeSampler, timeOfShare } from './time-sampler.js'

export const lowDiscrepancyTimes = defineTimeSampler({
  name: 'low-discrepancy',
  options: z.strictObject({ kind: z.literal('low-discrepancy') }),
  create: (_, schedule) => ({
    name: 'low-discrepancy',
    timeOf: ({ seed, step, slot, slots }) => timeOfShare(schedule, (uniform(seed, 'time', step, 0) + slot / slots) % 1),
  }),
})
