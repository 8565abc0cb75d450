/**
 * The time's share u of the range with ln(u / (1 - u)) ~ N(mean, deviation²): the middle of a straight path is seen most, where its
 * direction is hardest to tell (Stable Diffusion 3: Esser et al. 2024, arXiv 2403.03206, eq. 19). Keyed by (seed, epoch, example).
 */
import * as z from 'zod'
import { normals } from '../../random/philox.js'
import { defineTimeSampler, timeOfShare } from './time-sampler.js'

export const logitNormalTimes = defineTimeSampler({
  name: 'logit-normal',
  options: z.strictObject({
    kind: z.literal('logit-normal'),
    mean: z.number().default(0).describe('above 0: more noise'),
    deviation: z.number().gt(0).default(1).describe('above 1: more of both ends'),
  }),
  create: ({ mean, deviation }, schedule) => ({
    name: 'logit-normal',
    timeOf: ({ seed, epoch, example }) => {
      const normal = normals(seed, 'time', epoch, example, 1)[0] ?? 0
      return timeOfShare(schedule, 1 / (1 + Math.exp(-mean - deviation * normal)))
    },
  }),
})
