/**
 * What the solvers in lambda = log(alpha / sigma) share (Lu et al. 2022, arXiv 2206.00927 and 2211.01095).
 *
 * From a level s to a level t, with h = lambda_t - lambda_s and a clean image that is a polynomial in lambda, the
 * probability-flow ODE is solved exactly by
 *
 *     x_t = sigma_t / sigma_s x_s + alpha_t (h phi_1(-h) clean + h phi_2(-h) h clean' + h phi_3(-h) h² clean'' + …)
 *
 * and so is the SDE with eta² times the noise of the forward process, h (1 + eta) in the place of h inside h phi_k(-h):
 * then x_s counts e^(-eta h) times as much, and noise of standard deviation sigma_t sqrt(1 - e^(-2 eta h)) is added.
 *
 * A step whose h is infinite, from a level without signal or to the clean image, has no derivatives to speak of: it is the
 * first-order step, whose limits are finite.
 */
import * as z from 'zod'
import type { Level, Schedule } from '../diffusion/schedule.js'
import type { Terms, Value } from './define-sampler.js'

/** lambda: -Infinity where no signal is left, Infinity for the clean image. */
export function lambdaOf({ alpha, sigma }: Level): number {
  return Math.log(alpha / sigma)
}

/**
 * phi_k(z) = sum over j of z^j / (j + k)!, so phi_0(z) = e^z and phi_k(z) = (phi_{k-1}(z) - 1 / (k-1)!) / z. Near 0 the
 * sum itself: the differences would cancel.
 */
export function phi(k: number, at: number): number {
  if (Math.abs(at) < 1) return phiSeries(k, at)
  let value = Math.exp(at)
  for (let order = 1, inverse = 1; order <= k; inverse /= order, order++) value = (value - inverse) / at
  return value
}

/** Twenty terms leave less than 1 / 20! where |z| < 1. */
function phiSeries(k: number, at: number): number {
  let term = 1
  for (let factor = 2; factor <= k; factor++) term /= factor
  let sum = term
  for (let j = 1; j < 20; j++) {
    term *= at / (j + k)
    sum += term
  }
  return sum
}

/**
 * x_to = keep · x + constant · clean + slope · h clean' + curve · h² clean'' + spread · noise; of `noiseStep` with the noise in the
 * place of the clean image.
 */
export interface DataStep {
  /** lambda_to - lambda_from. */
  readonly h: number
  readonly keep: number
  readonly constant: number
  /** 0 where h is infinite, as is `curve`. */
  readonly slope: number
  readonly curve: number
  /** `curve` with the sign that published code has wrong: it does not vanish with h. */
  readonly mistakenCurve: number
  readonly spread: number
}

/** @param eta 0: the ODE; 1: the SDE with the noise of the forward process */
export function dataStep(from: Level, to: Level, eta = 0): DataStep {
  const h = lambdaOf(to) - lambdaOf(from)
  const span = (1 + eta) * h
  const keep = (to.sigma / from.sigma) * (eta === 0 ? 1 : Math.exp(-eta * h))
  const finite = Number.isFinite(h)
  return {
    h,
    keep,
    // The same as alpha_t span phi_1(-span), and finite where that is not.
    constant: finite ? -to.alpha * Math.expm1(-span) : to.alpha - keep * from.alpha,
    slope: finite ? to.alpha * span * phi(2, -span) : 0,
    curve: finite ? to.alpha * span * phi(3, -span) : 0,
    mistakenCurve: finite ? -to.alpha * (phi(2, -span) + 1 / 2) : 0,
    spread: eta === 0 ? 0 : to.sigma * Math.sqrt(-Math.expm1(-2 * eta * h)),
  }
}

/** How a step of second order weighs the slope. Both are of second order. */
export const secondOrderSolvers = {
  /** As if the clean image of the middle held over the whole step. */
  midpoint: ({ constant }) => constant / 2,
  /** The exact weight of a straight line. */
  heun: ({ slope }) => slope,
} as const satisfies Record<string, (step: Pick<DataStep, 'constant' | 'slope'>) => number>

export type SecondOrderSolver = keyof typeof secondOrderSolvers

/** The option that chooses among {@link secondOrderSolvers}. */
export const solverOption = z
  .enum(Object.keys(secondOrderSolvers) as [SecondOrderSolver, ...SecondOrderSolver[]])
  .describe('weight of the slope in a second-order step: that of the middle held constant, or of a straight line')

/** Options of the stochastic forms. */
export const etaOption = z
  .number()
  .min(0)
  .max(1)
  .default(1)
  .describe('0: deterministic; 1: the noise of ancestral sampling')
export const noiseScaleOption = z
  .number()
  .positive()
  .default(1)
  .describe('factor of the added noise; above 1 makes up for detail that a network removes with noise')

/** The level at a share of the way in lambda; undefined where the way is infinite. */
export function levelBetween(schedule: Schedule, from: Level, to: Level, share: number): Level | undefined {
  const start = lambdaOf(from)
  const h = lambdaOf(to) - start
  return Number.isFinite(h) ? schedule.atRatio(Math.exp(-(start + share * h))) : undefined
}

/** What was predicted before, the clean image or the noise, and where. */
export interface Prediction {
  readonly value: Value
  readonly lambda: number
}

/**
 * h times the slope and h² times the curvature at the newest of two or three predictions, from the parabola through them; of two,
 * the line.
 * @param points the newest first; each at a finite lambda
 */
export function derivatives(
  h: number,
  points: readonly Prediction[],
): { readonly slope: Terms; readonly curve: Terms } {
  const [newest, before, oldest] = points
  if (!newest || !before) return { slope: [], curve: [] }
  const gap = (newest.lambda - before.lambda) / h
  const first = difference(newest, before, 1 / gap)
  if (!oldest) return { slope: first, curve: [] }
  const earlierGap = (before.lambda - oldest.lambda) / h
  const bend = [...first, ...difference(before, oldest, -1 / earlierGap)]
  return {
    slope: [...first, ...scaled(gap / (gap + earlierGap), bend)],
    curve: scaled(2 / (gap + earlierGap), bend),
  }
}

/** factor · (a - b). */
function difference(a: Prediction, b: Prediction, factor: number): Terms {
  return [
    [factor, a.value],
    [-factor, b.value],
  ]
}

export function scaled(factor: number, terms: Terms): Terms {
  return terms.map(([coefficient, value]) => [factor * coefficient, value] as const)
}
