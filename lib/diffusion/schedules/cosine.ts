/**
 * Nichol and Dhariwal 2021 (arXiv 2102.09672, eq. 17): abar(u) = f(u) / f(0), f(u) = cos²((u + s) / (1 + s) · π/2), and
 * beta_t = min(1 - abar((t + 1) / T) / abar(t / T), 0.999).
 */
import * as z from 'zod'
import { betaOption, betaScheduleOptions } from '../beta-options.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'

const cosineSchema = z.strictObject({
  kind: z.literal('cosine'),
  ...betaScheduleOptions,
  offset: z.number().min(0).lt(1).default(0.008).describe('s, which keeps the first betas from vanishing'),
  maxBeta: betaOption.default(0.999).describe('upper bound of every beta'),
})

export type CosineSettings = z.output<typeof cosineSchema>

export const cosine = defineSchedule({
  name: 'cosine',
  options: cosineSchema,
  create: (settings) => scheduleFromBetas('cosine', cosineBetas(settings), settings),
})

function cosineBetas({ steps, offset, maxBeta }: CosineSettings): Float64Array {
  const angle = (t: number): number => ((t / steps + offset) / (1 + offset)) * (Math.PI / 2)
  // cos²a - cos²b = sin(b - a) sin(a + b): the plain difference would lose the digits of the first, small betas.
  const width = Math.PI / (2 * steps * (1 + offset))
  return Float64Array.from({ length: steps }, (_, t) => {
    const beta = (Math.sin(width) * Math.sin(angle(t) + angle(t + 1))) / Math.cos(angle(t)) ** 2
    return Math.min(beta, maxBeta)
  })
}
