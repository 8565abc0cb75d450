/**
 * The same beta at every time (Ho et al. 2020, arXiv 2006.11239, compare it in their choice of schedule): abar falls
 * geometrically, abar_t = (1 - beta)^(t + 1).
 */
import * as z from 'zod'
import { betaOption, betaScheduleOptions } from '../beta-options.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'

const constantSchema = z.strictObject({
  kind: z.literal('constant'),
  ...betaScheduleOptions,
  beta: betaOption.default(0.02).describe('beta at every time'),
})

export const constant = defineSchedule({
  name: 'constant',
  options: constantSchema,
  create: (settings) => scheduleFromBetas('constant', new Float64Array(settings.steps).fill(settings.beta), settings),
})
