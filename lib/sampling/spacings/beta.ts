/**
 * Quantiles of a beta distribution, between the ends of r = sigma / alpha: many steps near both ends, few between (Lee et al.
 * 2024, arXiv 2407.12173; diffusers' `use_beta_sigmas`, which like this divides r, where the paper divides time).
 *
 *     r_i = rMin + F⁻¹(1 - i / (count - 1)) (rMax - rMin),   F the distribution function of Beta(alpha, beta)
 */
import * as z from 'zod'
import { atRatios, ratioRange, ratioRangeOptions } from './ratio-range.js'
import { defineSpacing } from './spacing.js'

export const betaSpacing = defineSpacing({
  name: 'beta',
  options: z.strictObject({
    kind: z.literal('beta'),
    alpha: z.number().min(0.05).max(20).default(0.6).describe('below 1: more levels with little noise'),
    beta: z.number().min(0.05).max(20).default(0.6).describe('below 1: more levels with much noise'),
    ...ratioRangeOptions,
  }),
  wholeTimes: false,
  create: (settings) => (schedule, count) => {
    const range = ratioRange('beta', schedule, settings, count)
    const { sigmaMin, sigmaMax } = range
    return atRatios(schedule, range, count, (share) => {
      return sigmaMin + betaQuantile(1 - share, settings.alpha, settings.beta) * (sigmaMax - sigmaMin)
    })
  },
})

/** The value that a Beta(a, b) variable is below with the given probability, 0 to 1. */
export function betaQuantile(probability: number, a: number, b: number): number {
  const [left, right] = [lowerBeta(0.5, a, b), lowerBeta(0.5, b, a)]
  const mass = probability * (left + right)
  return mass <= left ? inverse(mass, a, b) : 1 - inverse(left + right - mass, b, a)
}

/** The x up to 1/2 at which the integral is `mass`, by halving: the first digit may be as small as x^a. */
function inverse(mass: number, a: number, b: number): number {
  let [low, high] = [0, 0.5]
  while (true) {
    const middle = (low + high) / 2
    if (middle === low || middle === high) return middle
    if (lowerBeta(middle, a, b) < mass) low = middle
    else high = middle
  }
}

/** ∫ s^(a-1) (1-s)^(b-1) ds from 0 to x ≤ 1/2: the binomial series, integrated term by term. */
function lowerBeta(x: number, a: number, b: number): number {
  let coefficient = 1
  let sum = 1 / a
  for (let n = 1; n < 200; n++) {
    coefficient *= ((n - b) / n) * x
    sum += coefficient / (a + n)
    if (Math.abs(coefficient) < 1e-18 * sum) break
  }
  return x ** a * sum
}
