/**
 * Solvers of the flow on straight paths x = (1 - t) clean + t noise (Liu et al. 2022, arXiv 2209.03003; Lipman et al. 2022,
 * arXiv 2210.02747), dx / dt = noise - clean = (x - clean) / t, with t = sigma whatever the schedule calls its times. No
 * step divides by alpha, so a run may begin at t = 1. The last one is Euler's, which is denoising: whoever knows the clean image
 * cannot tell the velocity at t = 0. That costs methods of order 2 nothing.
 */
import type { Level } from '../diffusion/schedule.js'
import { DpmError } from '../errors.js'
import type { SamplerVerbs, Value } from './define-sampler.js'
import { flowPaths, rungeKuttaSteps } from './runge-kutta-steps.js'
import type { Tableau } from './runge-kutta-tableau.js'

/** @throws DpmError DPM_INVALID_OPTION where the levels do not lie on straight paths. */
export function straightFlow(name: string, x: Value, tableau: Tableau, verbs: SamplerVerbs<unknown>): Value {
  const bent = verbs.levels.find((level) => !isStraight(level))
  if (bent) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Sampler "${name}" needs straight paths, alpha = 1 - sigma, but schedule \`${verbs.schedule.name}\` has alpha ${show(bent.alpha)} and sigma ${show(bent.sigma)} at time ${bent.time}. Use the schedule "rectified-flow", or the sampler "runge-kutta", which any schedule will do for.`,
    )
  }
  return rungeKuttaSteps(x, tableau, flowPaths.straight, verbs)
}

function isStraight({ alpha, sigma }: Level): boolean {
  return Math.abs(alpha + sigma - 1) < 1e-9
}

function show(value: number): number {
  return Number(value.toPrecision(6))
}
