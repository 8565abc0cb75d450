/**
 * From the noisiest to the cleanest time, both included, evenly: 0 to T - 1, rounded (improved DDPM's respacing by a number;
 * diffusers "linspace"). Where time is continuous this is score-SDE's: from 1 to its epsilon, which is `end`.
 *
 * diffusers lays its multistep solvers' steps out with one time more, and leaves the cleanest out (`dropCleanest`). Its Euler and Heun
 * do not round (`between`): between whole times t and t + 1, r = sigma / alpha lies on the straight line from r_t to r_{t+1}.
 */
import * as z from 'zod'
import { type DiscreteSchedule, type Level, ratioOf, requireDiscrete } from '../../diffusion/schedule.js'
import {
  defineSpacing,
  descending,
  dropCleanestOption,
  leastLambdaOption,
  roundHalfToEven,
  timesBetween,
  wholeTimes,
} from './spacing.js'

const evenly = (total: number, count: number): number[] =>
  descending(count, (i) => (count === 1 ? total - 1 : (i * (total - 1)) / (count - 1)))

/** The level at any time, with r on straight lines between the whole ones; told by that time. */
function between(schedule: DiscreteSchedule, time: number): Level {
  const below = Math.floor(time)
  if (below === time) return schedule.level(time)
  const [low, high] = [ratioOf(schedule.level(below)), ratioOf(schedule.level(below + 1))]
  return Object.freeze({ ...schedule.atRatio(low + (time - below) * (high - low)), time })
}

export const linspaceSpacing = defineSpacing({
  name: 'linspace',
  options: z.strictObject({
    kind: z.literal('linspace'),
    dropCleanest: dropCleanestOption,
    leastLambda: leastLambdaOption,
    between: z
      .enum(['rounded', 'ratio'])
      .default('rounded')
      .describe(
        'a time between whole ones: the nearest of them, or itself, sigma / alpha on a straight line (Euler of diffusers)',
      ),
    end: z.number().gt(0).optional().describe("last time, where time is continuous; the schedule's own when absent"),
  }),
  wholeTimes: true,
  create:
    ({ end, between: place, dropCleanest, leastLambda }) =>
    (schedule, count) => {
      const laid = dropCleanest ? count + 1 : count
      if (schedule.steps === undefined) {
        const line = (share: number, first: number, last: number): number => first + share * (last - first)
        return timesBetween(schedule, laid, end ?? schedule.cleanest, line).slice(0, count)
      }
      if (place === 'ratio') {
        const discrete = requireDiscrete(schedule, 'The spacing "linspace"')
        return evenly(discrete.steps, laid)
          .slice(0, count)
          .map((time) => between(discrete, time))
      }
      const whole = wholeTimes(
        'linspace',
        (total) => evenly(total, laid).slice(0, count).map(roundHalfToEven),
        leastLambda,
      )
      return whole(schedule, count)
    },
})
