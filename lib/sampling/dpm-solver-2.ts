/**
 * DPM-Solver-2 (Lu et al. 2022, arXiv 2206.00927, algorithm 1), which takes the noise, not the clean image, for what
 * changes slowly with lambda. With u at the level m half way in lambda and noise(x, t) = (x - alpha_t clean) / sigma_t:
 *
 *     u   = alpha_m / alpha_s x_s - sigma_m (e^(h/2) - 1) noise(x_s, s)
 *     x_t = alpha_t / alpha_s x_s - sigma_t (e^h - 1) noise(u, m)
 *
 * Second order, two evaluations a step. Where h is infinite, in the last step, to the clean image, and in a first one from
 * a level without signal, it is the first-order step (DDIM), which asks once.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { noiseStep, noiseTerms } from './dpm-noise-form.js'
import { dataStep, levelBetween, scaled, secondOrderSolvers, solverOption } from './dpm-solver-numbers.js'
import { pairs } from './levels.js'

const dpmSolver2Schema = z.strictObject({
  kind: z.literal('dpm-solver-2'),
  solver: solverOption.default('midpoint'),
})

export const dpmSolver2 = defineSampler('dpm-solver-2', dpmSolver2Schema, (x, verbs) => {
  const { levels, schedule, denoise, combine, emit, options } = verbs
  for (const [from, to] of pairs(levels)) {
    const clean = denoise(x, from)
    const middle = levelBetween(schedule, from, to, 1 / 2)
    if (!middle) {
      const { keep, constant } = dataStep(from, to)
      x = emit(
        combine([
          [keep, x],
          [constant, clean],
        ]),
        clean,
      )
      continue
    }
    const noise = noiseTerms(x, clean, from)
    const half = noiseStep(from, middle)
    const u = combine([[half.keep, x], ...scaled(half.constant, noise)])
    const noiseMiddle = noiseTerms(u, denoise(u, middle), middle)
    const whole = noiseStep(from, to)
    // h noise' = 2 (noise of the middle - noise).
    const slope = 2 * secondOrderSolvers[options.solver](whole)
    x = combine([[whole.keep, x], ...scaled(whole.constant - slope, noise), ...scaled(slope, noiseMiddle)])
    x = emit(x, clean)
  }
  return x
})
