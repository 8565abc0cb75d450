/** Every time alike (Ho et al. 2020, algorithm 1), keyed by (seed, epoch, example). */
import * as z from 'zod'
import { uniform } from '../../random/philox.js'
import { defineTimeSampler, timeOfShare } from './time-sampler.js'

export const uniformTimes = defineTimeSampler({
  name: 'uniform',
  options: z.strictObject({ kind: z.literal('uniform') }),
  create: (_, schedule) => ({
    name: 'uniform',
    timeOf: ({ seed, epoch, example }) => timeOfShare(schedule, uniform(seed, 'time', epoch, example)),
  }),
})
