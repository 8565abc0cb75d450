/**
 * The numbers of `dpm-solver-numbers.ts` where the noise, not the clean image, is the polynomial in lambda (Lu et al. 2022,
 * arXiv 2206.00927, eq. 3.4 and appendix B):
 *
 *     x_t = alpha_t / alpha_s x_s - (1 + eta²) sigma_t (h phi_1(h) noise + h phi_2(h) h noise' + h phi_3(h) h² noise'' + …)
 *         + eta sigma_t sqrt(e^(2h) - 1) · fresh noise
 *
 * eta 0 is the probability-flow ODE, eta 1 the reverse SDE (Song et al. 2021, arXiv 2011.13456, eq. 6 and 13), whose score counts
 * twice: SDE-DPM-Solver of Lu et al. 2022 (arXiv 2211.01095, appendix).
 */
import type { Level } from '../diffusion/schedule.js'
import type { Terms, Value } from './define-sampler.js'
import { type DataStep, lambdaOf, phi } from './dpm-solver-numbers.js'

/**
 * Both levels have signal and noise.
 * @param eta 0: the ODE; 1: the SDE
 */
export function noiseStep(from: Level, to: Level, eta = 0): DataStep {
  const h = lambdaOf(to) - lambdaOf(from)
  const pull = -(1 + eta * eta) * to.sigma
  return {
    h,
    keep: to.alpha / from.alpha,
    constant: pull * Math.expm1(h),
    slope: pull * h * phi(2, h),
    curve: pull * h * phi(3, h),
    mistakenCurve: -pull * (phi(2, h) + 1 / 2),
    spread: eta === 0 ? 0 : eta * to.sigma * Math.sqrt(Math.expm1(2 * h)),
  }
}

/** The noise in x: (x - alpha clean) / sigma. */
export function noiseTerms(x: Value, clean: Value, { alpha, sigma }: Level): Terms {
  return [
    [1 / sigma, x],
    [-alpha / sigma, clean],
  ]
}
