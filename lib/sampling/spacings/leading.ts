/**
 * Time i is offset + i · floor(T / count): a whole stride, so the noisiest times may be left out (diffusers "leading"; its
 * `steps_offset` is 1 for Stable Diffusion). Its multistep solvers divide T by count + 1, and leave time 0 out (`dropCleanest`).
 */
import * as z from 'zod'
import { expected } from '../../errors.js'
import { defineSpacing, descending, dropCleanestOption, leastLambdaOption, wholeTimes } from './spacing.js'

export const leadingSpacing = defineSpacing({
  name: 'leading',
  options: z.strictObject({
    kind: z.literal('leading'),
    dropCleanest: dropCleanestOption,
    leastLambda: leastLambdaOption,
    offset: z.int().min(0).max(1_000_000).default(0).describe('the last and cleanest time that is visited'),
  }),
  wholeTimes: true,
  create: ({ offset, dropCleanest, leastLambda }) =>
    wholeTimes(
      'leading',
      (total, count) => {
        const dropped = dropCleanest ? 1 : 0
        const stride = Math.floor(total / (count + dropped))
        const most = total - 1 - (count - 1 + dropped) * stride
        if (offset > most) {
          throw expected(
            `a whole number from 0 to ${most}, because ${count} of ${total} times are visited,`,
            'spacing.offset',
            offset,
            'Use fewer steps.',
            'DPM_INVALID_OPTION',
          )
        }
        return descending(count, (i) => offset + (i + dropped) * stride)
      },
      leastLambda,
    ),
})
