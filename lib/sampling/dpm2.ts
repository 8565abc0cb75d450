/**
 * The midpoint rule on the probability flow, with the middle taken in log(sigma / alpha): DPM-Solver-2 of Lu et al. 2022
 * (arXiv 2206.00927, algorithm 1) as Karras et al. 2022 (arXiv 2206.00364) and k-diffusion's `dpm_2` write it, in y = x / alpha
 * and r = sigma / alpha,
 *
 *     r_m = sqrt(r_t r_s),   y_m = y_t + (r_m - r_t) direction,   y_s = y_t + (r_s - r_t) direction_m.
 *
 * Second order, two evaluations a step; the step to the clean image is Euler's.
 */
import * as z from 'zod'
import { ratioOf } from '../diffusion/schedule.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'
import { flowPoint, flowTo, spansFiniteRatios } from './probability-flow.js'

const dpm2Schema = z.strictObject({ kind: z.literal('dpm2') })

export const dpm2 = defineSampler('dpm2', dpm2Schema, (x, verbs) => {
  const { levels, schedule, combine, emit } = verbs
  for (const [from, to] of pairs(levels)) {
    const start = flowPoint(x, from, verbs)
    if (spansFiniteRatios(from, to)) {
      const between = schedule.atRatio(Math.sqrt(ratioOf(from) * ratioOf(to)))
      const middle = flowPoint(combine(flowTo(start, between)), between, verbs)
      x = combine(flowTo(start, to, [[ratioOf(to) - ratioOf(from), middle.direction]]))
    } else {
      x = combine(flowTo(start, to))
    }
    x = emit(x, start.clean)
  }
  return x
})
