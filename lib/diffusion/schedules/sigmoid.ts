/**
 * abar falls along a part of the logistic function: Jabri et al. 2022 (arXiv 2212.11972, the schedule of their code in the
 * appendix; also Chen 2023, arXiv 2301.10972, algorithm 1). With s(u) = 1 / (1 + exp(-(start + u (end - start)) / temperature)),
 *
 *     abar(u) = (s(1) - s(u)) / (s(1) - s(0)),   beta_t = min(1 - abar((t + 1) / T) / abar(t / T), 0.999)
 *
 * The paper's time is continuous and its abar is not below 1e-9; here, as in the cosine schedule, betas are bounded instead.
 * Betas that themselves follow a logistic function are the kind `sigmoid-betas`.
 */
import * as z from 'zod'
import { betaOption, betaScheduleOptions } from '../beta-options.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'

const sigmoidSchema = z
  .strictObject({
    kind: z.literal('sigmoid'),
    ...betaScheduleOptions,
    start: z.number().default(-3).describe('where on the logistic function time begins'),
    end: z.number().default(3).describe('where it ends'),
    temperature: z.number().gt(0).default(1).describe('above 1: abar falls more evenly; below: more in the middle'),
    maxBeta: betaOption.default(0.999).describe('upper bound of every beta'),
  })
  .refine(({ start, end }) => start < end, { error: 'Expected a start below the end' })

export type SigmoidSettings = z.output<typeof sigmoidSchema>

export const sigmoid = defineSchedule({
  name: 'sigmoid',
  options: sigmoidSchema,
  create: (settings) => scheduleFromBetas('sigmoid', sigmoidBetas(settings), settings),
})

function sigmoidBetas({ steps, start, end, temperature, maxBeta }: SigmoidSettings): Float64Array {
  const at = (t: number): number => (start + (t / steps) * (end - start)) / temperature
  // s(b) - s(a) = sinh((b - a) / 2) / (2 cosh(a / 2) cosh(b / 2)), so 1 - abar(b) / abar(a) keeps its digits as
  // sinh((b - a) / 2) cosh(e / 2) / (sinh((e - a) / 2) cosh(b / 2)) with e the end.
  const last = at(steps)
  return Float64Array.from({ length: steps }, (_, t) => {
    const [from, to] = [at(t), at(t + 1)]
    const beta = (Math.sinh((to - from) / 2) * Math.cosh(last / 2)) / (Math.sinh((last - from) / 2) * Math.cosh(to / 2))
    return Math.min(beta, maxBeta)
  })
}
