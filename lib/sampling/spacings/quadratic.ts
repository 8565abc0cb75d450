/**
 * Time i is floor(c i²) with the last at 0.8 T: more steps where there is little noise (Song et al. 2021, appendix D.2, for
 * CIFAR-10; the 0.8 is from their code). Where squares would repeat a time, the next one is taken.
 *
 * Where time is continuous: evenly in sqrt(t), from the noisiest to the cleanest time, both included (DPM-Solver's
 * "time_quadratic", Lu et al. 2022, arXiv 2206.00927).
 */
import * as z from 'zod'
import { defineSpacing, timesBetween, wholeTimes } from './spacing.js'

const whole = wholeTimes('quadratic', (total, count) => {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const square = Math.floor(((i / (count - 1)) * Math.sqrt(0.8 * total)) ** 2)
    times.push(Math.max(square, (times.at(-1) ?? -1) + 1))
  }
  return times.reverse()
})

export const quadraticSpacing = defineSpacing({
  name: 'quadratic',
  options: z.strictObject({ kind: z.literal('quadratic') }),
  wholeTimes: true,
  create: () => (schedule, count) =>
    schedule.steps === undefined
      ? timesBetween(schedule, count, schedule.cleanest, (share, first, last) => {
          return (Math.sqrt(first) + share * (Math.sqrt(last) - Math.sqrt(first))) ** 2
        })
      : whole(schedule, count),
})
