/**
 * Heun's method, the trapezoidal rule on the probability flow (Karras et al. 2022, arXiv 2206.00364, algorithm 1): with
 * y = x / alpha, r = sigma / alpha, and direction' at the end of an Euler step,
 *
 *     y_s = y_t + (r_s - r_t) (direction + direction') / 2.
 *
 * Second order, two evaluations a step; the step to the clean image is Euler's.
 */
import * as z from 'zod'
import { ratioOf } from '../diffusion/schedule.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'
import { flowPoint, flowTo, spansFiniteRatios } from './probability-flow.js'

const heunSchema = z.strictObject({ kind: z.literal('heun') })

export const heun = defineSampler('heun', heunSchema, (x, verbs) => {
  const { levels, combine, emit } = verbs
  for (const [from, to] of pairs(levels)) {
    const start = flowPoint(x, from, verbs)
    x = combine(flowTo(start, to))
    if (spansFiniteRatios(from, to)) {
      const end = flowPoint(x, to, verbs)
      x = combine(flowTo(start, to, [[(ratioOf(to) - ratioOf(from)) / 2, end.direction]]))
    }
    x = emit(x, start.clean)
  }
  return x
})
