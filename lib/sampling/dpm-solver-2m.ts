/**
 * The multistep DPM-Solver of second order (Lu et al. 2022, arXiv 2206.00927 and 2211.01095, appendix; diffusers' `dpmsolver`), which
 * takes the noise, not the clean image, for what changes slowly with lambda: with r = h_before / h,
 *
 *     x_t = alpha_t / alpha_s x_s - sigma_t (e^h - 1) ((1 + 1 / (2r)) noise - 1 / (2r) noise before)
 *
 * Second order, one evaluation a step. The first step, and the last one to the clean image, are of first order (DDIM).
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { dpmMultistep, eulerAtFinalOption, lowerOrderFinalOption } from './dpm-multistep.js'
import { solverOption } from './dpm-solver-numbers.js'

const dpmSolver2mSchema = z.strictObject({
  kind: z.literal('dpm-solver-2m'),
  solver: solverOption.default('midpoint'),
  lowerOrderFinal: lowerOrderFinalOption.default(true),
  eulerAtFinal: eulerAtFinalOption,
})

export const dpmSolver2m = defineSampler('dpm-solver-2m', dpmSolver2mSchema, (x, verbs) => {
  const { kind: _, ...settings } = verbs.options
  return dpmMultistep(x, verbs, { order: 2, form: 'noise', ...settings })
})
