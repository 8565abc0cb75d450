/**
 * One time out of each of N equal parts of the range for a batch of N: time share (i + u) / N at place i, with u keyed by (seed,
 * epoch, example). Each example's time is still even over the range because data come in random order; the batch's mean
 * loss varies less.
 */
import * as z from 'zod'
import { uniform } from '../../random/philox.js'
import { defineTimeSampler, timeOfShare } from './time-sampler.js'

export const stratifiedTimes = defineTimeSampler({
  name: 'stratified',
  options: z.strictObject({ kind: z.literal('stratified') }),
  create: (_, schedule) => ({
    name: 'stratified',
    timeOf: ({ seed, epoch, example, slot, slots }) =>
      timeOfShare(schedule, (slot + uniform(seed, 'time', epoch, example)) / slots),
  }),
})
