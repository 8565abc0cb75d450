/**
 * Ancestral sampling (Ho et al. 2020, arXiv 2006.11239, algorithm 2), over all times or any subset of them:
 *
 *     x_s = mean of q(x_s | x_t, clean) + sqrt(variance) · noise, without noise in the last step.
 */
import * as z from 'zod'
import { posterior, varianceKinds, variances } from '../diffusion/posterior.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'

const ddpmSchema = z.strictObject({
  kind: z.literal('ddpm'),
  variance: z
    .enum([...varianceKinds, 'inherit'])
    .default('inherit')
    .describe("fixed-small: the posterior's; fixed-large: beta; inherit: what `diffusion.variance` says"),
})

export const ddpm = defineSampler('ddpm', ddpmSchema, (x, verbs) => {
  const { levels, denoise, combine, noise, emit, options } = verbs
  const variance = variances[options.variance === 'inherit' ? verbs.variance : options.variance]
  pairs(levels).forEach(([from, to], step) => {
    const clean = denoise(x, from)
    const q = posterior(from, to)
    const mean = [
      [q.meanNoisy, x],
      [q.meanClean, clean],
    ] as const
    x = combine(to.sigma === 0 ? mean : [...mean, [Math.sqrt(variance(q)), noise(step)]])
    emit(x, clean)
  })
  return x
})
