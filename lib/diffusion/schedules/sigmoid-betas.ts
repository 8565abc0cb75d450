/**
 * Betas that follow a logistic function of time: GeoDiff (Xu et al. 2022, arXiv 2203.02923; the form is their code's, diffusers
 * calls it "sigmoid").
 *
 *     beta_t = betaStart + (betaEnd - betaStart) / (1 + exp(-u_t)),   u_t evenly from -6 to 6
 *
 * An abar that follows a logistic function is the kind `sigmoid`.
 */
import * as z from 'zod'
import { betaOption, betaScheduleOptions, evenly } from '../beta-options.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'

const sigmoidBetasSchema = z.strictObject({
  kind: z.literal('sigmoid-betas'),
  ...betaScheduleOptions,
  betaStart: betaOption.default(1e-4).describe('beta that the first times are near to'),
  betaEnd: betaOption.default(0.02).describe('beta that the last times are near to'),
})

export const sigmoidBetas = defineSchedule({
  name: 'sigmoid-betas',
  options: sigmoidBetasSchema,
  create(settings) {
    const { steps, betaStart, betaEnd } = settings
    const betas = evenly(steps, -6, 6).map((u) => betaStart + (betaEnd - betaStart) / (1 + Math.exp(-u)))
    return scheduleFromBetas('sigmoid-betas', betas, settings)
  },
})
