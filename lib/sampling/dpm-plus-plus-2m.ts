/**
 * DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2): with r = h_before / h,
 *
 *     x_t = sigma_t / sigma_s x_s + alpha_t (1 - e^(-h)) ((1 + 1 / (2r)) clean - 1 / (2r) clean before)
 *
 * Second order, one evaluation a step. The first step, and the last one to the clean image, are of first order (DDIM).
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { dpmMultistep, eulerAtFinalOption, lowerOrderFinalOption } from './dpm-multistep.js'
import { solverOption } from './dpm-solver-numbers.js'

const dpmPlusPlus2mSchema = z.strictObject({
  kind: z.literal('dpm++2m'),
  solver: solverOption.default('midpoint'),
  lowerOrderFinal: lowerOrderFinalOption.default(true),
  eulerAtFinal: eulerAtFinalOption,
})

export const dpmPlusPlus2m = defineSampler('dpm++2m', dpmPlusPlus2mSchema, (x, verbs) => {
  const { kind: _, ...settings } = verbs.options
  return dpmMultistep(x, verbs, { order: 2, ...settings })
})
