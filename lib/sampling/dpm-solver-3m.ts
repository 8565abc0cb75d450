/**
 * The multistep DPM-Solver of third order (Lu et al. 2022, arXiv 2206.00927; diffusers' `dpmsolver`): slope and curvature of the noise
 * in lambda are those of the parabola through the last three predictions,
 *
 *     x_t = alpha_t / alpha_s x_s - sigma_t (h phi_1(h) noise + h phi_2(h) h noise' + h phi_3(h) h² noise'')
 *
 * Third order, one evaluation a step. The first two steps have fewer predictions behind them and are of first and second
 * order; the last one, to the clean image, is of first order.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { curvatureOption, dpmMultistep, eulerAtFinalOption, lowerOrderFinalOption } from './dpm-multistep.js'
import { solverOption } from './dpm-solver-numbers.js'

const dpmSolver3mSchema = z.strictObject({
  kind: z.literal('dpm-solver-3m'),
  solver: solverOption.default('midpoint'),
  curvature: curvatureOption,
  lowerOrderFinal: lowerOrderFinalOption.default(true),
  eulerAtFinal: eulerAtFinalOption,
})

export const dpmSolver3m = defineSampler('dpm-solver-3m', dpmSolver3mSchema, (x, verbs) => {
  const { kind: _, ...settings } = verbs.options
  return dpmMultistep(x, verbs, { order: 3, form: 'noise', ...settings })
})
