/**
 * Times in pairs: t for one example, T - 1 - t (in continuous time cleanest + noisiest - t) for the next, so that an update
 * that sees much noise sees little too (Song et al. 2020, DDIM, arXiv 2010.02502, its code's training loop). t is keyed by
 * (seed, step, pair); the last of an odd batch stays alone.
 */
import * as z from 'zod'
import { uniform } from '../../random/philox.js'
import { defineTimeSampler, timeOfShare } from './time-sampler.js'

export const antitheticTimes = defineTimeSampler({
  name: 'antithetic',
  options: z.strictObject({ kind: z.literal('antithetic') }),
  create: (_, schedule) => ({
    name: 'antithetic',
    timeOf: ({ seed, step, slot }) => {
      const time = timeOfShare(schedule, uniform(seed, 'time', step, Math.floor(slot / 2)))
      return slot % 2 === 0 ? time : schedule.cleanest + schedule.noisiest - time
    },
  }),
})
