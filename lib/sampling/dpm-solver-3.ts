/**
 * DPM-Solver-3 (Lu et al. 2022, arXiv 2206.00927, algorithm 2, r_1 = 1/3, r_2 = 2/3), in the noise as `dpm-solver-2`. With
 * u and v at the levels one third and two thirds of the way in lambda:
 *
 *     u   = alpha_u / alpha_s x_s - sigma_u (e^(h/3) - 1) noise(x_s)
 *     v   = alpha_v / alpha_s x_s - sigma_v ((e^(2h/3) - 1) noise(x_s) + 2 ((e^(2h/3) - 1) / (2h/3) - 1) D_u)
 *     x_t = alpha_t / alpha_s x_s - sigma_t ((e^h - 1) noise(x_s) + 3/2 ((e^h - 1) / h - 1) D_v)
 *     D_u = noise(u) - noise(x_s),   D_v = noise(v) - noise(x_s)
 *
 * Third order, three evaluations a step. Where h is infinite it is the first-order step (DDIM), which asks once.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { noiseStep, noiseTerms } from './dpm-noise-form.js'
import { dataStep, levelBetween, scaled } from './dpm-solver-numbers.js'
import { pairs } from './levels.js'

const dpmSolver3Schema = z.strictObject({ kind: z.literal('dpm-solver-3') })

export const dpmSolver3 = defineSampler('dpm-solver-3', dpmSolver3Schema, (x, verbs) => {
  const { levels, schedule, denoise, combine, emit } = verbs
  for (const [from, to] of pairs(levels)) {
    const clean = denoise(x, from)
    const first = levelBetween(schedule, from, to, 1 / 3)
    const second = levelBetween(schedule, from, to, 2 / 3)
    if (!first || !second) {
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
    const third = noiseStep(from, first)
    const u = combine([[third.keep, x], ...scaled(third.constant, noise)])
    const noiseU = noiseTerms(u, denoise(u, first), first)
    const twoThirds = noiseStep(from, second)
    const v = combine([
      [twoThirds.keep, x],
      ...scaled(twoThirds.constant - 2 * twoThirds.slope, noise),
      ...scaled(2 * twoThirds.slope, noiseU),
    ])
    const noiseV = noiseTerms(v, denoise(v, second), second)
    const whole = noiseStep(from, to)
    x = combine([
      [whole.keep, x],
      ...scaled(whole.constant - 1.5 * whole.slope, noise),
      ...scaled(1.5 * whole.slope, noiseV),
    ])
    x = emit(x, clean)
  }
  return x
})
