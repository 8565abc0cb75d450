/**
 * The midpoint rule in log(sigma / alpha) with ancestral noise (k-diffusion's `dpm_2_ancestral`), in y = x / alpha and
 * r = sigma / alpha, with r_down and r_up of an ancestral step:
 *
 *     r_m = sqrt(r_t r_down),   y_m = y_t + (r_m - r_t) direction,   y_s = y_t + (r_down - r_t) direction_m + r_up noise.
 *
 * Two evaluations a step; the step to the clean image is Euler's.
 */
import * as z from 'zod'
import { ratioOf } from '../diffusion/schedule.js'
import { ancestralStep } from './ancestral-step.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'
import { flowPoint, flowTo, spansFiniteRatios } from './probability-flow.js'

const dpm2AncestralSchema = z.strictObject({
  kind: z.literal('dpm2-ancestral'),
  eta: z.number().min(0).max(1).default(1).describe('0: deterministic; 1: the noise of ancestral sampling'),
})

export const dpm2Ancestral = defineSampler('dpm2-ancestral', dpm2AncestralSchema, (x, verbs) => {
  const { levels, schedule, combine, noise, emit, options } = verbs
  pairs(levels).forEach(([from, to], step) => {
    const start = flowPoint(x, from, verbs)
    const { down, up } = ancestralStep(from, to, options.eta)
    const sigma = to.alpha * down
    const drift = () => {
      if (!(spansFiniteRatios(from, to) && down > 0)) return flowTo(start, to, [], sigma)
      const between = schedule.atRatio(Math.sqrt(ratioOf(from) * down))
      const middle = flowPoint(combine(flowTo(start, between)), between, verbs)
      return flowTo(start, to, [[down - ratioOf(from), middle.direction]], sigma)
    }
    const moved = drift()
    x = combine(up > 0 ? [...moved, [to.alpha * up, noise(step)]] : moved)
    x = emit(x, start.clean)
  })
  return x
})
