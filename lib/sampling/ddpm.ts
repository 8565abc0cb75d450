/**
 * Ancestral sampling (Ho et al. 2020, arXiv 2006.11239, algorithm 2), over all times or any subset of them:
 *
 *     x_s = mean of q(x_s | x_t, clean) + sqrt(variance) · noise, without noise in the last step.
 */
import * as z from 'zod'
import { stepPosterior, varianceKinds } from '../diffusion/posterior.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'

const ddpmSchema = z.strictObject({
  kind: z.literal('ddpm'),
  variance: z
    .enum([...varianceKinds, 'inherit'])
    .default('inherit')
    .describe(
      "fixed-small: the posterior's; fixed-large: beta; learned, learned-range: the network's; inherit: what `diffusion.variance` says",
    ),
})

export const ddpm = defineSampler('ddpm', ddpmSchema, (x, verbs) => {
  const { levels, denoiseAncestral, combine, emit, options } = verbs
  const variance = options.variance === 'inherit' ? verbs.variance : options.variance
  pairs(levels).forEach(([from, to], step) => {
    const { clean, noise } = denoiseAncestral(x, from, to, { step, variance })
    const q = stepPosterior(from, to)
    x = combine([[q.meanNoisy, x], [q.meanClean, clean], ...noise])
    x = emit(x, clean)
  })
  return x
})
