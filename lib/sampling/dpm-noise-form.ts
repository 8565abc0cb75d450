/**
 * The numbers of `dpm-solver-numbers.ts` where the noise, not the clean image, is the polynomial in lambda (Lu et al. 2022,
 * arXiv 2206.00927, eq. 3.4 and appendix B):
 *
 *     x_t = alpha_t / alpha_s x_s - sigma_t (h phi_1(h) noise + h phi_2(h) h noise' + …)
 */
import type { Level } from '../diffusion/schedule.js'
import type { Terms, Value } from './define-sampler.js'
import { lambdaOf, phi } from './dpm-solver-numbers.js'

/** x_to = keep · x + constant · noise + slope · h noise'. */
export interface NoiseStep {
  readonly keep: number
  readonly constant: number
  readonly slope: number
}

/** Both levels have signal and noise. */
export function noiseStep(from: Level, to: Level): NoiseStep {
  const h = lambdaOf(to) - lambdaOf(from)
  return {
    keep: to.alpha / from.alpha,
    constant: -to.sigma * Math.expm1(h),
    slope: -to.sigma * h * phi(2, h),
  }
}

/** The noise in x: (x - alpha clean) / sigma. */
export function noiseTerms(x: Value, clean: Value, { alpha, sigma }: Level): Terms {
  return [
    [1 / sigma, x],
    [-alpha / sigma, clean],
  ]
}
