/**
 * An ancestral step in sigma / alpha: the flow is followed further down than the next level, and noise makes up for it (the
 * generalised posterior of Song et al. 2021, arXiv 2010.02502, §4.1, for x / alpha; `get_ancestral_step` of k-diffusion). With
 * r_t above r_s,
 *
 *     r_up² = eta² r_s² (r_t² - r_s²) / r_t²,   r_down² = r_s² - r_up².
 */
import { type Level, ratioOf } from '../diffusion/schedule.js'

export interface AncestralStep {
  /** sigma / alpha to which the flow is followed. */
  readonly down: number
  /** Standard deviation, over alpha, of the noise that is added then. */
  readonly up: number
}

/** @param eta 0: no noise; 1: as much as keeps the law of x given the clean image */
export function ancestralStep(from: Level, to: Level, eta: number): AncestralStep {
  const ratio = ratioOf(to)
  // 0 where no signal is left at the start: r_t is infinite there.
  const kept = (to.sigma * from.alpha) / (to.alpha * from.sigma)
  const share = eta * Math.sqrt(Math.max(0, (1 - kept) * (1 + kept)))
  return { down: ratio * Math.sqrt(1 - share * share), up: ratio * share }
}
