/**
 * DPM-Solver++(2S) with ancestral noise (k-diffusion's `dpmpp_2s_ancestral`), in y = x / alpha and r = sigma / alpha, with r_down and r_up of
 * an ancestral step:
 *
 *     r_m = sqrt(r_t r_down),   y_m = r_m / r_t y_t + (1 - r_m / r_t) clean,
 *     y_s = r_down / r_t y_t + (1 - r_down / r_t) clean(y_m) + noiseScale r_up noise.
 *
 * Two evaluations a step; the step to the clean image, and one from a level without signal, is of first order and asks once. eta 0 is
 * `dpm++2s`.
 */
import * as z from 'zod'
import { ratioOf } from '../diffusion/schedule.js'
import { ancestralStep } from './ancestral-step.js'
import { defineSampler } from './define-sampler.js'
import { dataStep, etaOption, noiseScaleOption } from './dpm-solver-numbers.js'
import { pairs } from './levels.js'
import { spansFiniteRatios } from './probability-flow.js'

const dpmPlusPlus2sAncestralSchema = z.strictObject({
  kind: z.literal('dpm++2s-ancestral'),
  eta: etaOption,
  noiseScale: noiseScaleOption,
})

export const dpmPlusPlus2sAncestral = defineSampler(
  'dpm++2s-ancestral',
  dpmPlusPlus2sAncestralSchema,
  (x, { levels, schedule, denoise, combine, noise, emit, options }) => {
    pairs(levels).forEach(([from, to], step) => {
      const clean = denoise(x, from)
      const { down, up } = ancestralStep(from, to, options.eta)
      const judged = () => {
        if (!(spansFiniteRatios(from, to) && down > 0)) return clean
        const middle = schedule.atRatio(Math.sqrt(ratioOf(from) * down))
        const half = dataStep(from, middle)
        const between = combine([
          [half.keep, x],
          [half.constant, clean],
        ])
        return denoise(between, middle)
      }
      // alpha_s r_down / r_t / alpha_t, where alpha_t may be 0.
      const keep = (to.alpha * down) / from.sigma
      const spread = options.noiseScale * to.alpha * up
      const drift = [[keep, x] as const, [to.alpha - keep * from.alpha, judged()] as const]
      x = combine(spread > 0 ? [...drift, [spread, noise(step)]] : drift)
      x = emit(x, clean)
    })
    return x
  },
)
