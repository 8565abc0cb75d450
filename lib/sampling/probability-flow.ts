/**
 * The probability-flow ODE with its schedule divided out (Song et al. 2021, arXiv 2010.02502, eq. 14): with y = x / alpha and
 * r = sigma / alpha,
 *
 *     dy / dr = direction = (x - alpha clean) / sigma,   which is the noise that the denoiser sees in x.
 *
 * A solver therefore moves y by a sum of weight · direction whose weights add up to r_to - r_from. Written from the clean
 * image, y - r_from direction, the sum also holds where no signal is left (alpha 0, r infinite).
 */
import type { Level } from '../diffusion/schedule.js'
import type { SamplerVerbs, Terms, Value } from './define-sampler.js'

/** Where the flow starts from, and which way it goes there. */
export interface FlowPoint {
  readonly level: Level
  readonly clean: Value
  readonly direction: Value
}

/** Asks the denoiser for the direction of the flow at x. */
export function flowPoint(
  x: Value,
  level: Level,
  { denoise, combine }: Pick<SamplerVerbs<unknown>, 'denoise' | 'combine'>,
): FlowPoint {
  const clean = denoise(x, level)
  const direction = combine([
    [1 / level.sigma, x],
    [-level.alpha / level.sigma, clean],
  ])
  return { level, clean, direction }
}

/**
 * alpha_to · y at sigma / alpha = `ratio`.
 * @param to the level whose alpha scales the result; its ratio is the target, unless another is given, below which noise
 *   is to be added
 * @param others weight · direction of other points; the start's own direction has what is left of r_to - r_from
 */
export function flowTo(
  { clean, direction }: FlowPoint,
  to: Level,
  others: Terms = [],
  sigma: number = to.sigma,
): Terms {
  const taken = others.reduce((sum, [weight]) => sum + weight, 0)
  return [
    [to.alpha, clean],
    [sigma - to.alpha * taken, direction],
    ...others.map(([weight, other]) => [to.alpha * weight, other] as const),
  ]
}

/**
 * Whether a method may look further than one direction between two levels: not where there is no noise left to tell the
 * direction by at the end, and not where r is infinite at the start. There its step is Euler's.
 */
export function spansFiniteRatios(from: Level, to: Level): boolean {
  return from.alpha > 0 && to.sigma > 0
}
