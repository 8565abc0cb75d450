/**
 * The times in sections of one size, each visited so many times, evenly from its first to its last and rounded (improved DDPM's
 * respacing, Nichol and Dhariwal 2021, arXiv 2102.09672, §4 and code: "10,15,20" of 300 takes 10 of the first 100 times …). The first
 * section has the least noise.
 */
import * as z from 'zod'
import { expected } from '../../errors.js'
import { defineSpacing, roundHalfToEven, wholeTimes } from './spacing.js'

export const sectionsSpacing = defineSpacing({
  name: 'sections',
  options: z.strictObject({
    kind: z.literal('sections'),
    counts: z
      .array(z.int().min(1))
      .min(1)
      .max(1000)
      .describe('times visited in each section, the cleanest section first'),
  }),
  wholeTimes: true,
  count: ({ counts }) => counts.reduce((sum, count) => sum + count, 0),
  create: ({ counts }) =>
    wholeTimes('sections', (total) => {
      const times: number[] = []
      const [size, longer] = [Math.floor(total / counts.length), total % counts.length]
      let start = 0
      counts.forEach((count, section) => {
        const length = section < longer ? size + 1 : size
        if (count > length) {
          throw expected(
            `at most ${length} times in a section of ${length}, for a schedule of ${total},`,
            `spacing.counts.${section}`,
            count,
            'Use fewer times or fewer sections.',
            'DPM_INVALID_OPTION',
          )
        }
        // The position is summed up, not multiplied out: halves are then rounded as the published code rounds them.
        let position = 0
        for (let i = 0; i < count; i++) {
          times.push(start + roundHalfToEven(position))
          position += count > 1 ? (length - 1) / (count - 1) : 1
        }
        start += length
      })
      return times.reverse()
    }),
})
