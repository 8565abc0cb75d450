/**
 * A geometric sequence of noise levels: Song and Ermon 2019 (arXiv 1907.05600, §4: 10 levels, 1 … 0.01) and 2020 (NCSNv2,
 * arXiv 2006.09011, techniques 1 and 2: 232 levels, 50 … 0.01 for CIFAR-10, the defaults here).
 *
 *     alpha = 1,   sigma_t = sigmaMin (sigmaMax / sigmaMin)^(t / (T - 1))
 *
 * Time 0 has the least noise, as in every schedule here; the papers count from the most. With `steps` 1000 these are the levels
 * that score-SDE's code samples its VE SDE at.
 */
import * as z from 'zod'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromLevels, varianceExploding } from '../discrete-schedule.js'
import { requireSigmaRange } from '../sigma-range.js'

const ncsnSchema = z.strictObject({
  kind: z.literal('ncsn'),
  steps: z.int().min(2).max(1_000_000).default(232).describe('T, the number of noise levels'),
  sigmaMin: z.number().gt(0).default(0.01).describe('least noise'),
  sigmaMax: z.number().gt(0).default(50).describe('most noise'),
})

export const ncsn = defineSchedule({
  name: 'ncsn',
  options: ncsnSchema,
  create({ steps, sigmaMin, sigmaMax }) {
    requireSigmaRange('ncsn', sigmaMin, sigmaMax)
    const ratio = sigmaMax / sigmaMin
    const levels = Array.from({ length: steps }, (_, t) => ({
      alpha: 1,
      sigma: t === steps - 1 ? sigmaMax : sigmaMin * ratio ** (t / (steps - 1)),
    }))
    return scheduleFromLevels('ncsn', levels, varianceExploding)
  },
})
