/** Time i is i · floor(T / count), from 0: a whole stride, so the noisiest times may be left out (diffusers "leading"). */
import * as z from 'zod'
import { defineSpacing, descending, wholeTimes } from './spacing.js'

export const leadingSpacing = defineSpacing({
  name: 'leading',
  options: z.strictObject({ kind: z.literal('leading') }),
  wholeTimes: true,
  create: () => wholeTimes('leading', (total, count) => descending(count, (i) => i * Math.floor(total / count))),
})
