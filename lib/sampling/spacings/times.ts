/** Times as a list, the noisiest first: whole numbers or, between the times of a discrete schedule, any. */
import * as z from 'zod'
import { defineSpacing } from './spacing.js'

export const timesSpacing = defineSpacing({
  name: 'times',
  options: z.strictObject({
    kind: z.literal('times'),
    times: z.array(z.number()).min(1).max(1_000_000).describe('times to visit, the noisiest first'),
  }),
  wholeTimes: false,
  count: ({ times }) => times.length,
  create:
    ({ times }) =>
    (schedule) =>
      times.map((time) => schedule.level(time)),
})
