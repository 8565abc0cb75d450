/**
 * Euler's method with ancestral noise (k-diffusion's `euler_ancestral`), in y = x / alpha and r = sigma / alpha, with r_down
 * and r_up of an ancestral step:
 *
 *     y_s = y_t + (r_down - r_t) direction + r_up noise,   direction = (x_t - alpha_t clean) / sigma_t.
 *
 * The same law as DDIM with this eta, hence with eta 1 as DDPM with the small variance.
 */
import * as z from 'zod'
import { ancestralStep } from './ancestral-step.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'
import { flowPoint, flowTo } from './probability-flow.js'

const eulerAncestralSchema = z.strictObject({
  kind: z.literal('euler-ancestral'),
  eta: z.number().min(0).max(1).default(1).describe('0: deterministic; 1: the noise of ancestral sampling'),
})

export const eulerAncestral = defineSampler('euler-ancestral', eulerAncestralSchema, (x, verbs) => {
  const { levels, combine, noise, emit, options } = verbs
  pairs(levels).forEach(([from, to], step) => {
    const start = flowPoint(x, from, verbs)
    const { down, up } = ancestralStep(from, to, options.eta)
    const drift = flowTo(start, to, [], to.alpha * down)
    x = combine(up > 0 ? [...drift, [to.alpha * up, noise(step)]] : drift)
    x = emit(x, start.clean)
  })
  return x
})
