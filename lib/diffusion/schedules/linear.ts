/**
 * Betas on a straight line: Ho et al. 2020 (arXiv 2006.11239, §4), 1e-4 to 0.02 over 1000 steps.
 *
 * With another number of steps the same betas end at another amount of noise. Improved DDPM (arXiv 2102.09672) therefore
 * multiplies both ends by 1000 / steps: `scaleToSteps`. That is also how score-SDE's code makes steps of its VP SDE.
 */
import * as z from 'zod'
import { betaOption, betaScheduleOptions, evenly } from '../beta-options.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'

const linearSchema = z.strictObject({
  kind: z.literal('linear'),
  ...betaScheduleOptions,
  betaStart: betaOption.default(1e-4).describe('beta at time 0'),
  betaEnd: betaOption.default(0.02).describe('beta at time T - 1'),
  scaleToSteps: z.boolean().default(false).describe('multiply the betas by 1000 / steps (improved DDPM)'),
})

export const linear = defineSchedule({
  name: 'linear',
  options: linearSchema,
  create(settings) {
    const { steps, betaStart, betaEnd, scaleToSteps } = settings
    const scale = scaleToSteps ? 1000 / steps : 1
    return scheduleFromBetas('linear', evenly(steps, scale * betaStart, scale * betaEnd), settings)
  },
})
