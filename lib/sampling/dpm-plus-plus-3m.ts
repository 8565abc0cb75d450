/**
 * DPM-Solver++(3M) (Lu et al. 2022, arXiv 2211.01095): slope and curvature of the clean image in lambda are those of the
 * parabola through the last three predictions,
 *
 *     x_t = sigma_t / sigma_s x_s + alpha_t (h phi_1(-h) clean + h phi_2(-h) h clean' + h phi_3(-h) h² clean'')
 *
 * Third order, one evaluation a step. The first two steps have fewer predictions behind them and are of first and second
 * order; the last one, to the clean image, is of first order.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { curvatureOption, dpmMultistep, eulerAtFinalOption, lowerOrderFinalOption } from './dpm-multistep.js'
import { solverOption } from './dpm-solver-numbers.js'

const dpmPlusPlus3mSchema = z.strictObject({
  kind: z.literal('dpm++3m'),
  solver: solverOption.default('midpoint'),
  curvature: curvatureOption,
  lowerOrderFinal: lowerOrderFinalOption.default(true),
  eulerAtFinal: eulerAtFinalOption,
})

export const dpmPlusPlus3m = defineSampler('dpm++3m', dpmPlusPlus3mSchema, (x, verbs) => {
  const { kind: _, ...settings } = verbs.options
  return dpmMultistep(x, verbs, { order: 3, ...settings })
})
