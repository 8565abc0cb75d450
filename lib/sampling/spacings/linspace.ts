/** From 0 to T - 1, both included, evenly and rounded (improved DDPM's respacing by a number; diffusers "linspace"). */
import * as z from 'zod'
import { defineSpacing, descending, roundHalfToEven, wholeTimes } from './spacing.js'

export const linspaceSpacing = defineSpacing({
  name: 'linspace',
  options: z.strictObject({ kind: z.literal('linspace') }),
  wholeTimes: true,
  create: () =>
    wholeTimes('linspace', (total, count) =>
      descending(count, (i) => roundHalfToEven((i * (total - 1)) / (count - 1))),
    ),
})
