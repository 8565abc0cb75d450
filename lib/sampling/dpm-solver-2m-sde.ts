/**
 * SDE-DPM-Solver(2M) (Lu et al. 2022, arXiv 2211.01095, appendix; diffusers' `sde-dpmsolver`), in the noise that the denoiser sees: with
 * r = h_before / h,
 *
 *     x_t = alpha_t / alpha_s x_s - (1 + eta²) sigma_t (e^h - 1) (seen + (seen - seen before) / (2r))
 *         + eta sigma_t sqrt(e^(2h) - 1) · noise
 *
 * `order` 1 leaves the difference out. The noise of a step is keyed by its count: it does not refine a Brownian path. eta 0 is
 * `dpm-solver-2m`. A step whose h is infinite is that of `dpm++2m-sde`.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { dpmMultistep, eulerAtFinalOption, lowerOrderFinalOption } from './dpm-multistep.js'
import { etaOption, noiseScaleOption, solverOption } from './dpm-solver-numbers.js'

const dpmSolver2mSdeSchema = z.strictObject({
  kind: z.literal('dpm-solver-2m-sde'),
  order: z
    .union([z.literal(1), z.literal(2)])
    .default(2)
    .describe('1: without the prediction of the step before'),
  eta: etaOption,
  noiseScale: noiseScaleOption,
  solver: solverOption.default('midpoint'),
  lowerOrderFinal: lowerOrderFinalOption.default(true),
  eulerAtFinal: eulerAtFinalOption,
})

export const dpmSolver2mSde = defineSampler('dpm-solver-2m-sde', dpmSolver2mSdeSchema, (x, verbs) => {
  const { kind: _, ...settings } = verbs.options
  return dpmMultistep(x, verbs, { form: 'noise', ...settings })
})
