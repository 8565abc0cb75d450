/**
 * Time i is i · s with the smallest whole stride s that gives exactly `count` times, from 0 (improved DDPM's "ddimN", Nichol and
 * Dhariwal 2021, arXiv 2102.09672, code). `leading` has floor(T / count) for s and always exists; this does not.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { defineSpacing, descending, wholeTimes } from './spacing.js'

export const strideSpacing = defineSpacing({
  name: 'stride',
  options: z.strictObject({ kind: z.literal('stride') }),
  wholeTimes: true,
  create: () =>
    wholeTimes('stride', (total, count) => {
      const stride = Math.ceil(total / count)
      if (Math.ceil(total / stride) === count) return descending(count, (i) => i * stride)
      const [fewer, more] = [Math.ceil(total / stride), Math.ceil(total / (stride - 1))]
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `Spacing "stride" cannot make exactly ${count} steps of ${total} times with a whole stride. Use ${fewer} or ${more} steps, or the spacing "leading".`,
      )
    }),
})
