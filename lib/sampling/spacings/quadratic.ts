/**
 * Time i is floor(c i²) with the last at 0.8 T: more steps where there is little noise (Song et al. 2021, appendix D.2, for
 * CIFAR-10; the 0.8 is from their code). Where squares would repeat a time, the next one is taken.
 */
import * as z from 'zod'
import { defineSpacing, wholeTimes } from './spacing.js'

export const quadraticSpacing = defineSpacing({
  name: 'quadratic',
  options: z.strictObject({ kind: z.literal('quadratic') }),
  wholeTimes: true,
  create: () =>
    wholeTimes('quadratic', (total, count) => {
      const times: number[] = []
      for (let i = 0; i < count; i++) {
        const square = Math.floor(((i / (count - 1)) * Math.sqrt(0.8 * total)) ** 2)
        times.push(Math.max(square, (times.at(-1) ?? -1) + 1))
      }
      return times.reverse()
    }),
})
