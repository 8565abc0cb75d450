/**
 * Betas on a straight line: Ho et al. 2020 (arXiv 2006.11239, §4), 1e-4 to 0.02 over 1000 steps.
 *
 * With another number of steps the same betas end at another amount of noise. Improved DDPM (arXiv 2102.09672) therefore
 * multiplies both ends by 1000 / steps: `scaleToSteps`.
 */
import * as z from 'zod'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'

const linearSchema = z.strictObject({
  kind: z.literal('linear'),
  steps: z.int().min(1).max(1_000_000).default(1000).describe('T, the number of diffusion times'),
  betaStart: z.number().gt(0).lt(1).default(1e-4).describe('beta at time 0'),
  betaEnd: z.number().gt(0).lt(1).default(0.02).describe('beta at time T - 1'),
  scaleToSteps: z.boolean().default(false).describe('multiply the betas by 1000 / steps (improved DDPM)'),
})

export type LinearSettings = z.output<typeof linearSchema>

export const linear = defineSchedule({
  name: 'linear',
  options: linearSchema,
  create: (settings) => scheduleFromBetas('linear', linearBetas(settings)),
})

function linearBetas({ steps, betaStart, betaEnd, scaleToSteps }: LinearSettings): Float64Array {
  const scale = scaleToSteps ? 1000 / steps : 1
  const intervals = Math.max(1, steps - 1)
  return Float64Array.from(
    { length: steps },
    (_, t) => (scale * (betaStart * (intervals - t) + betaEnd * t)) / intervals,
  )
}
