/**
 * SDE-DPM-Solver++(2S): `dpm++2s` of the SDE, as k-diffusion has it (eta of Song et al. 2021, arXiv 2010.02502). From a
 * level s to a level t, with q = (sigma_t / alpha_t) / (sigma_s / alpha_s) and k = sqrt(1 - eta² (1 - q²)), an ancestral
 * step that takes the clean image for constant is
 *
 *     x_t = sigma_t / sigma_s k x_s + alpha_t (1 - q k) clean + eta sigma_t sqrt(1 - q²) · noise
 *
 * The first such step goes half way in lambda, where the clean image is predicted again; the second goes all the way with
 * that one.
 *
 * Noise `path`: both steps follow one path, so the noise of the second is in part that of the first, as it has come down
 * from the middle; the variance of x then errs by the square of the step. `independent`: each has its own, as in diffusers,
 * and the variance errs by the step. The draw half way has the purpose `churn`. No noise refines a Brownian path from one
 * step count to another. eta 0 is `dpm++2s`.
 */
import * as z from 'zod'
import type { Level } from '../diffusion/schedule.js'
import { ancestralStep } from './ancestral-step.js'
import { defineSampler } from './define-sampler.js'
import { etaOption, levelBetween, noiseScaleOption } from './dpm-solver-numbers.js'
import { pairs } from './levels.js'

const dpmPlusPlusSdeSchema = z.strictObject({
  kind: z.literal('dpm++sde'),
  eta: etaOption,
  noiseScale: noiseScaleOption,
  noise: z
    .enum(['path', 'independent'])
    .default('path')
    .describe('whether the noise of a whole step continues that of its first half, or is drawn anew'),
})

export const dpmPlusPlusSde = defineSampler('dpm++sde', dpmPlusPlusSdeSchema, (x, verbs) => {
  const { levels, schedule, denoise, combine, noise, emit, options } = verbs
  const { eta, noiseScale } = options
  pairs(levels).forEach(([from, to], step) => {
    const clean = denoise(x, from)
    const whole = numbersOf(from, to, eta)
    const middle = levelBetween(schedule, from, to, 1 / 2)
    const quiet = eta === 0 || to.sigma === 0
    const last = quiet ? undefined : noise(step)
    if (!middle) {
      x = combine([
        [whole.keep, x],
        [whole.clean, clean],
        ...(last ? [[noiseScale * whole.spread, last] as const] : []),
      ])
      x = emit(x, clean)
      return
    }
    const half = numbersOf(from, middle, eta)
    const first = quiet ? undefined : noise(step, 'churn')
    const between = combine([
      [half.keep, x],
      [half.clean, clean],
      ...(first ? [[noiseScale * half.spread, first] as const] : []),
    ])
    const cleanMiddle = denoise(between, middle)
    const carried = options.noise === 'path' ? numbersOf(middle, to, eta).keep * half.spread : 0
    const fresh = Math.sqrt(Math.max(whole.spread ** 2 - carried ** 2, 0))
    x = combine([
      [whole.keep, x],
      [whole.clean, cleanMiddle],
      ...(first && last ? [[noiseScale * carried, first] as const, [noiseScale * fresh, last] as const] : []),
    ])
    x = emit(x, clean)
  })
  return x
})

function numbersOf(from: Level, to: Level, eta: number) {
  const { down, up } = ancestralStep(from, to, eta)
  // alpha_t / alpha_s r_down / r_s, where alpha_s may be 0.
  const keep = (to.alpha * down) / from.sigma
  return { keep, clean: to.alpha - keep * from.alpha, spread: to.alpha * up }
}
