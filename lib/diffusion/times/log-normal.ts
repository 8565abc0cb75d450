/**
 * ln(sigma / alpha) ~ N(mean, deviation²): training sees most the levels at which a network can still learn something (EDM: Karras
 * et al. 2022, arXiv 2206.00364, table 1 and §5). Keyed by (seed, epoch, example).
 *
 * On discrete times the nearest one on the scale of ln(sigma / alpha). Where a continuous schedule ends, draws beyond are trained at
 * its end; schedule "edm" has none.
 */
import * as z from 'zod'
import { normals } from '../../random/philox.js'
import { defineTimeSampler } from './time-sampler.js'

export const logNormalTimes = defineTimeSampler({
  name: 'log-normal',
  options: z.strictObject({
    kind: z.literal('log-normal'),
    mean: z
      .number()
      .default(-1.2)
      .describe('of ln(sigma / alpha); -1.2 for CIFAR-10 and ImageNet-64 in EDM, -0.8 in EDM2'),
    deviation: z.number().gt(0).default(1.2).describe('of ln(sigma / alpha); 1.2 in EDM, 1.6 in EDM2'),
  }),
  create: ({ mean, deviation }, schedule) => ({
    name: 'log-normal',
    timeOf: ({ seed, epoch, example }) => {
      const normal = normals(seed, 'time', epoch, example, 1)[0] ?? 0
      const { time } = schedule.atRatio(Math.exp(mean + deviation * normal))
      return schedule.steps === undefined ? time : Math.round(time)
    },
  }),
})
