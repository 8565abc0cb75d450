/**
 * The variance preserving SDE of Song et al. 2021 (arXiv 2011.13456, eq. 11 and appendix C): dx = -beta(t)/2 x dt +
 * sqrt(beta(t)) dw with beta(t) = betaMin + t (betaMax - betaMin), so that with B(t) = ∫ beta = betaMin t + t² (betaMax - betaMin) / 2
 *
 *     alpha = exp(-B / 2),   sigma² = 1 - exp(-B)
 *
 * Its 1000 discrete steps in the code of the paper are `{ kind: 'linear', scaleToSteps: true }`.
 */
import * as z from 'zod'
import { continuousSchedule } from '../continuous-schedule.js'
import { defineSchedule } from '../define-schedule.js'
import { variancePreserving } from '../discrete-schedule.js'
import type { Schedule } from '../schedule.js'

/** The options of an SDE whose noise rate is linear in time. */
export const linearRateOptions = {
  betaMin: z.number().gt(0).default(0.1).describe('rate of the noise at time 0'),
  betaMax: z.number().gt(0).default(20).describe('rate of the noise at time 1'),
  cleanest: z
    .number()
    .gt(0)
    .lt(1)
    .default(1e-5)
    .describe('least time that is trained or sampled; published samples were drawn with 1e-3'),
}

const vpSdeSchema = z.strictObject({ kind: z.literal('vp-sde'), ...linearRateOptions })

export const vpSde = defineSchedule({
  name: 'vp-sde',
  options: vpSdeSchema,
  create: ({ betaMin, betaMax, cleanest }): Schedule => {
    const rate = linearRate(betaMin, betaMax)
    return continuousSchedule({
      name: 'vp-sde',
      cleanest,
      noisiest: 1,
      at(time) {
        const total = rate.integral(time)
        return { alpha: Math.exp(-total / 2), sigma: Math.sqrt(-Math.expm1(-total)) }
      },
      timeAtRatio: (ratio) => rate.timeAt(Math.log1p(ratio * ratio)),
      family: variancePreserving,
    })
  },
})

/** B(t), the integral of a rate that is linear in time, and its inverse. */
export function linearRate(betaMin: number, betaMax: number) {
  const slope = betaMax - betaMin
  return {
    integral: (time: number): number => time * (betaMin + (time * slope) / 2),
    /** The root of slope t² / 2 + betaMin t = total, in the form that keeps its digits where t is small or slope is 0. */
    timeAt: (total: number): number => (2 * total) / (betaMin + Math.sqrt(betaMin * betaMin + 2 * slope * total)),
  }
}
