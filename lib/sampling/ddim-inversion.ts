/**
 * DDIM inversion (Song et al. 2021, arXiv 2010.02502, §4.3; Dhariwal and Nichol 2021, arXiv 2105.05233, appendix F): the
 * probability-flow ODE from the image up to the noise that DDIM draws it from. x at the start is the image; the levels are
 * walked from the clean one to the noisiest. From a level s up to a level t,
 *
 *     x_t = alpha_t (x_s - sigma_s noise) / alpha_s + sigma_t noise
 *
 * with the noise that the network predicts of x_s, told that it is at t: a step of DDIM from t would have asked it there
 * (and at the clean image there is nothing to ask). The image comes back from `ddim` over the same levels up to an error
 * of first order in the step.
 *
 * To a level without signal the noise in x_s is (x_s - alpha_s clean) / sigma_s, as the clean image is all that the network
 * can tell there.
 */
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'

const ddimInversionSchema = z.strictObject({ kind: z.literal('ddim-inversion') })

export const ddimInversion = defineSampler(
  'ddim-inversion',
  ddimInversionSchema,
  (x, { levels, denoise, combine, emit, start, inpaint }) => {
    if (start !== 'given' || inpaint) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        'Sampler "ddim-inversion" goes from an image to its noise: give the image as `initial`, without `image` and `inpaint`; or call `invert`.',
      )
    }
    if (levels.at(-1)?.sigma !== 0) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        'Sampler "ddim-inversion" goes from the clean image up: leave `finalLevel` out, or set it to "clean".',
      )
    }
    for (const [from, to] of pairs(levels.toReversed())) {
      const clean = denoise(x, to)
      // With noise = (x_s - alpha_t clean) / sigma_t, and q the ratio of sigma / alpha at s to that at t.
      const q = (from.sigma * to.alpha) / (from.alpha * to.sigma)
      x =
        to.alpha === 0 && from.sigma > 0
          ? combine([
              [to.sigma / from.sigma, x],
              [(-from.alpha * to.sigma) / from.sigma, clean],
            ])
          : combine([
              [to.alpha / from.alpha + 1 - q, x],
              [-to.alpha * (1 - q), clean],
            ])
      x = emit(x, clean)
    }
    return x
  },
)
