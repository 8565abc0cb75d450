/**
 * Time i is floor(i · T / count), from 0 (Song et al. 2021, arXiv 2010.02502, appendix D.2, "linear"). Where time is
 * continuous: evenly from the noisiest time down, in strides that end at the clean one.
 */
import * as z from 'zod'
import { defineSpacing, descending, wholeTimes } from './spacing.js'

const whole = wholeTimes('uniform', (total, count) => descending(count, (i) => Math.floor((i * total) / count)))

export const uniformSpacing = defineSpacing({
  name: 'uniform',
  options: z.strictObject({ kind: z.literal('uniform') }),
  wholeTimes: true,
  create: () => (schedule, count) => {
    if (schedule.steps !== undefined) return whole(schedule, count)
    const { noisiest, clean } = schedule
    return Array.from({ length: count }, (_, i) => {
      const time = noisiest + (i / count) * (clean.time - noisiest)
      return schedule.level(Math.max(time, schedule.cleanest))
    })
  },
})
