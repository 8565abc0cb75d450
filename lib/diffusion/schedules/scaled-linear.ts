/**
 * Square roots of the betas on a straight line, with the ends of Stable Diffusion: Rombach et al. 2022 (arXiv 2112.10752;
 * the ends 0.00085 and 0.012 are from their code, where the schedule is called "linear"; diffusers calls it
 * "scaled_linear").
 *
 *     beta_t = (sqrt(betaStart) + t / (T - 1) · (sqrt(betaEnd) - sqrt(betaStart)))²
 */
import * as z from 'zod'
import { betaOption, betaScheduleOptions, evenly } from '../beta-options.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'

const scaledLinearSchema = z.strictObject({
  kind: z.literal('scaled-linear'),
  ...betaScheduleOptions,
  betaStart: betaOption.default(0.00085).describe('beta at time 0'),
  betaEnd: betaOption.default(0.012).describe('beta at time T - 1'),
})

export const scaledLinear = defineSchedule({
  name: 'scaled-linear',
  options: scaledLinearSchema,
  create: (settings) => scheduleFromBetas('scaled-linear', squaredBetas(settings), settings),
})

/** Betas whose square roots lie on a straight line. */
export function squaredBetas(settings: { steps: number; betaStart: number; betaEnd: number }): Float64Array {
  const { steps, betaStart, betaEnd } = settings
  return evenly(steps, Math.sqrt(betaStart), Math.sqrt(betaEnd)).map((root) => root * root)
}
