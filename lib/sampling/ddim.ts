/**
 * Song et al. 2021 (arXiv 2010.02502, eq. 12), over any subset of the times:
 *
 *     x_s = alpha_s clean + sqrt(sigma_s² - v) · direction + sqrt(v) · noise
 *     direction = (x_t - alpha_t clean) / sigma_t,   v = eta² · variance of q(x_s | x_t, clean)
 *
 * eta 0 is deterministic, eta 1 is ancestral sampling with the small variance. The clean image of the direction is the one
 * after the clip, as improved and guided diffusion have it, or the one before (`direction`), as diffusers has it.
 */
import * as z from 'zod'
import { stepPosterior } from '../diffusion/posterior.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'

const ddimSchema = z.strictObject({
  kind: z.literal('ddim'),
  eta: z.number().min(0).max(1).default(0).describe('0: deterministic; 1: the noise of ancestral sampling'),
  direction: z
    .enum(['clipped', 'unclipped'])
    .default('clipped')
    .describe('the noise that a step keeps: that beside the clean image after its clip, or before it (diffusers)'),
})

export const ddim = defineSampler(
  'ddim',
  ddimSchema,
  (x, { levels, denoiseUnclipped, combine, noise, emit, options: { eta, direction } }) => {
    pairs(levels).forEach(([from, to], step) => {
      const { clean, unclipped } = denoiseUnclipped(x, from)
      const beside = direction === 'clipped' ? clean : unclipped
      const q = stepPosterior(from, to)
      // sigma_s² - v = sigma_s² (1 - eta² beta_{t|s} / sigma_t²), in a form that does not cancel.
      const keep = (to.sigma / from.sigma) * Math.sqrt(1 - (eta * eta * q.forwardVariance) / (from.sigma * from.sigma))
      const drift = [
        [keep, x],
        ...(beside === clean
          ? [[to.alpha - keep * from.alpha, clean] as const]
          : [[to.alpha, clean] as const, [-keep * from.alpha, beside] as const]),
      ] as const
      const spread = eta * Math.sqrt(q.variance)
      x = combine(spread === 0 ? drift : [...drift, [spread, noise(step)]])
      x = emit(x, clean)
    })
    return x
  },
)
