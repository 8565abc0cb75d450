/**
 * DPM-Solver++(2S) (Lu et al. 2022, arXiv 2211.01095, algorithm 1, r = 1/2), with u at the level m half way in lambda:
 *
 *     u   = sigma_m / sigma_s x_s + alpha_m (1 - e^(-h/2)) clean(x_s)
 *     x_t = sigma_t / sigma_s x_s + alpha_t (1 - e^(-h)) clean(u)
 *
 * Second order, two evaluations a step; the last one, to the clean image, is of first order and asks once.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { dataStep, levelBetween, secondOrderSolvers, solverOption } from './dpm-solver-numbers.js'
import { pairs } from './levels.js'

const dpmPlusPlus2sSchema = z.strictObject({
  kind: z.literal('dpm++2s'),
  solver: solverOption.default('midpoint'),
})

export const dpmPlusPlus2s = defineSampler('dpm++2s', dpmPlusPlus2sSchema, (x, verbs) => {
  const { levels, schedule, denoise, combine, emit, options } = verbs
  for (const [from, to] of pairs(levels)) {
    const clean = denoise(x, from)
    const whole = dataStep(from, to)
    const middle = levelBetween(schedule, from, to, 1 / 2)
    if (!middle) {
      x = emit(
        combine([
          [whole.keep, x],
          [whole.constant, clean],
        ]),
        clean,
      )
      continue
    }
    const half = dataStep(from, middle)
    const cleanMiddle = denoise(
      combine([
        [half.keep, x],
        [half.constant, clean],
      ]),
      middle,
    )
    // h clean' = 2 (clean of the middle - clean).
    const slope = 2 * secondOrderSolvers[options.solver](whole)
    x = combine([
      [whole.keep, x],
      [whole.constant - slope, clean],
      [slope, cleanMiddle],
    ])
    x = emit(x, clean)
  }
  return x
})
