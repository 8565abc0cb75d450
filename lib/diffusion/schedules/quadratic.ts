/**
 * Betas that grow with the square of time: the "quad" of the code of Ho et al. 2020 (arXiv 2006.11239), with their ends. It is
 * the formula of `scaled-linear`, which has the ends of Stable Diffusion.
 *
 *     beta_t = (sqrt(betaStart) + t / (T - 1) · (sqrt(betaEnd) - sqrt(betaStart)))²
 */
import * as z from 'zod'
import { betaOption, betaScheduleOptions } from '../beta-options.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'
import { squaredBetas } from './scaled-linear.js'

const quadraticSchema = z.strictObject({
  kind: z.literal('quadratic'),
  ...betaScheduleOptions,
  betaStart: betaOption.default(1e-4).describe('beta at time 0'),
  betaEnd: betaOption.default(0.02).describe('beta at time T - 1'),
})

export const quadratic = defineSchedule({
  name: 'quadratic',
  options: quadraticSchema,
  create: (settings) => scheduleFromBetas('quadratic', squaredBetas(settings), settings),
})
