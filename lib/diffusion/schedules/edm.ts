/**
 * Karras et al. 2022 (arXiv 2206.00364, table 1, "ours"): time is the standard deviation of the noise itself,
 *
 *     alpha = 1,   sigma(t) = t
 *
 * Sampling starts at sigmaMax; the spacing "karras" ends at sigmaMin. Every time above 0 is a level, because training draws
 * ln sigma from a normal distribution, which has no ends.
 */
import * as z from 'zod'
import { continuousSchedule } from '../continuous-schedule.js'
import { defineSchedule } from '../define-schedule.js'
import { varianceExploding } from '../discrete-schedule.js'
import { requireSigmaRange } from '../sigma-range.js'

const edmSchema = z.strictObject({
  kind: z.literal('edm'),
  sigmaMin: z.number().gt(0).default(0.002).describe('least noise that is sampled'),
  sigmaMax: z.number().gt(0).default(80).describe('most noise that is sampled'),
})

export const edm = defineSchedule({
  name: 'edm',
  options: edmSchema,
  create: ({ sigmaMin, sigmaMax }) => {
    requireSigmaRange('edm', sigmaMin, sigmaMax)
    return continuousSchedule({
      name: 'edm',
      cleanest: sigmaMin,
      noisiest: sigmaMax,
      beyondEnds: true,
      at: (time) => ({ alpha: 1, sigma: time }),
      timeAtRatio: (ratio) => ratio,
      family: varianceExploding,
    })
  },
})
