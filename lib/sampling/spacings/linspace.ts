/**
 * From the noisiest to the cleanest time, both included, evenly: 0 to T - 1, rounded (improved DDPM's respacing by a number;
 * diffusers "linspace"). Where time is continuous this is score-SDE's: from 1 to its epsilon, which is `end`.
 */
import * as z from 'zod'
import { defineSpacing, descending, roundHalfToEven, timesBetween, wholeTimes } from './spacing.js'

const whole = wholeTimes('linspace', (total, count) =>
  descending(count, (i) => roundHalfToEven((i * (total - 1)) / (count - 1))),
)

export const linspaceSpacing = defineSpacing({
  name: 'linspace',
  options: z.strictObject({
    kind: z.literal('linspace'),
    end: z.number().gt(0).optional().describe("last time, where time is continuous; the schedule's own when absent"),
  }),
  wholeTimes: true,
  create:
    ({ end }) =>
    (schedule, count) =>
      schedule.steps === undefined
        ? timesBetween(
            schedule,
            count,
            end ?? schedule.cleanest,
            (share, first, last) => first + share * (last - first),
          )
        : whole(schedule, count),
})
