/**
 * SDE-DPM-Solver++(3M) (k-diffusion's, after Lu et al. 2022, arXiv 2211.01095): with H = (1 + eta) h, and the slope and
 * curvature of the parabola through the last three predictions,
 *
 *     x_t = sigma_t / sigma_s e^(-eta h) x_s + alpha_t (H phi_1(-H) clean + H phi_2(-H) h clean' + H phi_3(-H) h² clean'')
 *         + sigma_t sqrt(1 - e^(-2 eta h)) · noise
 *
 * The noise of a step is keyed by its count: it does not refine a Brownian path. eta 0 is `dpm++3m` with `solver` heun and
 * without `lowerOrderFinal`.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { dpmMultistep, eulerAtFinalOption, lowerOrderFinalOption, sdeCurvatureOption } from './dpm-multistep.js'
import { etaOption, noiseScaleOption, solverOption } from './dpm-solver-numbers.js'

const dpmPlusPlus3mSdeSchema = z.strictObject({
  kind: z.literal('dpm++3m-sde'),
  eta: etaOption,
  noiseScale: noiseScaleOption,
  solver: solverOption.default('heun'),
  curvature: sdeCurvatureOption,
  lowerOrderFinal: lowerOrderFinalOption.default(false),
  eulerAtFinal: eulerAtFinalOption,
})

export const dpmPlusPlus3mSde = defineSampler('dpm++3m-sde', dpmPlusPlus3mSdeSchema, (x, verbs) => {
  const { kind: _, ...settings } = verbs.options
  return dpmMultistep(x, verbs, { order: 3, ...settings })
})
