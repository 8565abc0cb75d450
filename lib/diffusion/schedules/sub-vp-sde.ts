/**
 * The sub-VP SDE of Song et al. 2021 (arXiv 2011.13456, eq. 12 and appendix C), whose variance never exceeds that of the
 * VP SDE with the same rate: with B(t) as there,
 *
 *     alpha = exp(-B / 2),   sigma = 1 - exp(-B) = 1 - alpha²
 */
import * as z from 'zod'
import { continuousSchedule } from '../continuous-schedule.js'
import { defineSchedule } from '../define-schedule.js'
import type { Family } from '../discrete-schedule.js'
import { linearRate, linearRateOptions } from './vp-sde.js'

const subVpSdeSchema = z.strictObject({ kind: z.literal('sub-vp-sde'), ...linearRateOptions })

/** alpha² + sigma = 1; alpha is the root of alpha² + ratio · alpha = 1. */
const subVariancePreserving: Family = {
  fromRatio(ratio) {
    const alpha = 2 / (ratio + Math.hypot(ratio, 2))
    return { alpha, sigma: ratio * alpha }
  },
  prior: () => 1,
}

export const subVpSde = defineSchedule({
  name: 'sub-vp-sde',
  options: subVpSdeSchema,
  create: ({ betaMin, betaMax, cleanest }) => {
    const rate = linearRate(betaMin, betaMax)
    return continuousSchedule({
      name: 'sub-vp-sde',
      cleanest,
      noisiest: 1,
      at(time) {
        const total = rate.integral(time)
        return { alpha: Math.exp(-total / 2), sigma: -Math.expm1(-total) }
      },
      // alpha = exp(-asinh(ratio / 2)): the root above, in a form that keeps the digits of B where ratio is small.
      timeAtRatio: (ratio) => rate.timeAt(2 * Math.asinh(ratio / 2)),
      family: subVariancePreserving,
    })
  },
})
