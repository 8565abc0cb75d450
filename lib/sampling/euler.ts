/**
 * Euler's method on the probability flow (`euler` of Karras et al. 2022, arXiv 2206.00364): with y = x / alpha, r = sigma /
 * alpha,
 *
 *     y_s = y_t + (r_s - r_t) direction,   direction = (x_t - alpha_t clean) / sigma_t.
 *
 * First order. The same numbers as DDIM with eta 0.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'
import { flowPoint, flowTo } from './probability-flow.js'

const eulerSchema = z.strictObject({ kind: z.literal('euler') })

export const euler = defineSampler('euler', eulerSchema, (x, verbs) => {
  for (const [from, to] of pairs(verbs.levels)) {
    const start = flowPoint(x, from, verbs)
    x = verbs.emit(verbs.combine(flowTo(start, to)), start.clean)
  }
  return x
})
