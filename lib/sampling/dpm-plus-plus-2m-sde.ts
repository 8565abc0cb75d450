/**
 * SDE-DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, appendix; eta as in k-diffusion): with r = h_before / h,
 *
 *     x_t = sigma_t / sigma_s e^(-eta h) x_s + alpha_t (1 - e^(-(1 + eta) h)) (clean + (clean - clean before) / (2r))
 *         + sigma_t sqrt(1 - e^(-2 eta h)) · noise
 *
 * The noise of a step is keyed by its count: it does not refine a Brownian path, so runs of different step counts have
 * different noise. eta 0 is `dpm++2m`.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { dpmMultistep, eulerAtFinalOption, lowerOrderFinalOption } from './dpm-multistep.js'
import { etaOption, noiseScaleOption, solverOption } from './dpm-solver-numbers.js'

const dpmPlusPlus2mSdeSchema = z.strictObject({
  kind: z.literal('dpm++2m-sde'),
  eta: etaOption,
  noiseScale: noiseScaleOption,
  solver: solverOption.default('midpoint'),
  lowerOrderFinal: lowerOrderFinalOption.default(true),
  eulerAtFinal: eulerAtFinalOption,
})

export const dpmPlusPlus2mSde = defineSampler('dpm++2m-sde', dpmPlusPlus2mSdeSchema, (x, verbs) => {
  const { kind: _, ...settings } = verbs.options
  return dpmMultistep(x, verbs, { order: 2, ...settings })
})
