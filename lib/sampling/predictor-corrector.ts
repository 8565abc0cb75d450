/**
 * Predictor–corrector sampling of the reverse SDE (Song et al. 2021, arXiv 2011.13456, algorithm 1 with the predictors of appendices
 * E and F and the correctors of appendix G), in the order of the authors' code: at every level the corrector moves x, then the
 * predictor takes it to the next. With score = (alpha clean - x) / sigma², and for a step from t to s a = alpha_t / alpha_s,
 * beta = sigma_t² - a² sigma_s², which is the variance of x_t given x_s,
 *
 *     reverse-diffusion   x_s = (2 - a) x + beta score + sqrt(beta) noise                                   (eq. 46, 47)
 *     ancestral           x_s = (x + beta score) / a + sqrt(variance) noise                                 (eq. 4, 36)
 *     euler-maruyama      x_s = x - (t - s) (f x - g² score) + sqrt(t - s) g noise                          (eq. 6)
 *     none                x_s = x
 *     langevin            x ← x + e score + sqrt(2 e) noise,   e = 2 a² (snr |noise| / |score|)²            (algorithm 4, 5)
 *     annealed            the same with e = 2 a² (snr sigma)²
 *
 * a and beta of neighbouring times of a discrete schedule are the paper's own discretisations: sqrt(1 - beta_t), beta_t for VP,
 * 1, sigma_t² - sigma_s² for VE. For sub-VP they are exact where the authors' code takes Euler's step. f and g² are in
 * `sde-rates.ts`. `ancestral` is the posterior of `ddpm`; the authors take the variance fixed-small for VE, fixed-large for VP.
 *
 * Norms are those of each sample. The authors' code takes their means over the batch, so that a sample depends on its
 * company; for one sample both are the same.
 */
import * as z from 'zod'
import { stepPosterior, varianceKinds } from '../diffusion/posterior.js'
import { type Level, requireSignal } from '../diffusion/schedule.js'
import { DpmError } from '../errors.js'
import { defineSampler, type SamplerVerbs, type Terms, type Value } from './define-sampler.js'
import { pairs } from './levels.js'
import { sdeRates } from './sde-rates.js'

const predictorNames = ['reverse-diffusion', 'ancestral', 'euler-maruyama', 'none'] as const
const correctorNames = ['langevin', 'annealed', 'none'] as const

const predictorCorrectorSchema = z.strictObject({
  kind: z.literal('predictor-corrector'),
  predictor: z.enum(predictorNames).default('reverse-diffusion').describe('what takes x to the next level'),
  corrector: z.enum(correctorNames).default('langevin').describe('what moves x at a level'),
  snr: z.number().gt(0).default(0.16).describe('signal-to-noise ratio of a corrector move: how long it is'),
  corrections: z.int().min(1).max(100_000).default(1).describe('corrector moves at every level'),
  variance: z
    .enum([...varianceKinds, 'inherit'])
    .default('inherit')
    .describe('of the ancestral predictor; inherit: what `diffusion.variance` says'),
  denoise: z.boolean().default(true).describe('no noise in the last step; `ancestral` adds none there anyway'),
})

type Settings = z.output<typeof predictorCorrectorSchema>

/** A step between two levels. */
interface Step {
  readonly from: Level
  readonly to: Level
  /** a: alpha_t / alpha_s. */
  readonly shrink: number
  /** beta: the variance of x_t given x_s. */
  readonly variance: number
  /** Count of the steps before this one. */
  readonly count: number
}

interface Moved {
  readonly x: Value
  /** The clean image that the network was last asked for on the way. */
  readonly clean: Value | undefined
}

type Mover = (x: Value, step: Step, verbs: SamplerVerbs<Settings>) => Moved

export const predictorCorrector = defineSampler('predictor-corrector', predictorCorrectorSchema, (x, verbs) => {
  const { levels, schedule, options } = verbs
  requireSignal(schedule, 'Sampler "predictor-corrector"', 'Use a schedule that ends above 0, or another sampler.')
  pairs(levels).forEach(([from, to], count) => {
    const step = { from, to, shrink: from.alpha / to.alpha, variance: stepPosterior(from, to).forwardVariance, count }
    const corrected = correctors[options.corrector](x, step, verbs)
    const moved = predictors[options.predictor](corrected.x, step, verbs)
    const clean = moved.clean ?? corrected.clean
    if (!clean) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        'Sampler "predictor-corrector" with `predictor` "none" and `corrector` "none" moves nothing. Choose one of either.',
      )
    }
    x = verbs.emit(moved.x, clean)
  })
  return x
})

const predictors: Record<Settings['predictor'], Mover> = {
  'reverse-diffusion': (x, step, verbs) => {
    const { shrink, variance } = step
    return noisyStep(x, step, verbs, { x: 2 - shrink, score: variance, noise: Math.sqrt(variance) })
  },
  'euler-maruyama': (x, step, verbs) => {
    const { drift, diffusion } = sdeRates(verbs.schedule, step.from)
    const duration = step.from.time - step.to.time
    const variance = diffusion * duration
    return noisyStep(x, step, verbs, { x: 1 - drift * duration, score: variance, noise: Math.sqrt(variance) })
  },
  ancestral: (x, { from, to, count }, verbs) => {
    const variance = verbs.options.variance === 'inherit' ? verbs.variance : verbs.options.variance
    const { clean, noise } = verbs.denoiseAncestral(x, from, to, { step: count, variance })
    const q = stepPosterior(from, to)
    return { x: verbs.combine([[q.meanNoisy, x], [q.meanClean, clean], ...noise]), clean }
  },
  none: (x) => ({ x, clean: undefined }),
}

function noisyStep(
  x: Value,
  { from, to, count }: Step,
  { denoise, combine, noise, options }: SamplerVerbs<Settings>,
  factors: { readonly x: number; readonly score: number; readonly noise: number },
): Moved {
  const clean = denoise(x, from)
  const spread: Terms = to.sigma === 0 && options.denoise ? [] : [[factors.noise, noise(count)]]
  const pull = factors.score / from.sigma ** 2
  return { x: combine([[factors.x - pull, x], [pull * from.alpha, clean], ...spread]), clean }
}

const correctors: Record<Settings['corrector'], Mover> = {
  langevin: (x, step, verbs) =>
    corrections(x, step, verbs, (score, noise) => {
      const { combine, multiply, ratio, options } = verbs
      const scale = options.snr * step.shrink
      const size = ratio(noise, score, { measure: 'norm', factor: 2 * scale * scale, power: 2 })
      // sqrt(2 e), which is a multiple of the ratio itself.
      const spread = ratio(noise, score, { measure: 'norm', factor: 2 * scale, power: 1 })
      return (from) =>
        combine([
          [1, from],
          [1, multiply(size, score)],
          [1, multiply(spread, noise)],
        ])
    }),
  annealed: (x, step, verbs) =>
    corrections(x, step, verbs, (score, noise) => {
      const scale = verbs.options.snr * step.shrink * step.from.sigma
      return (from) =>
        verbs.combine([
          [1, from],
          [2 * scale * scale, score],
          [2 * scale, noise],
        ])
    }),
  none: (x) => ({ x, clean: undefined }),
}

function corrections(
  x: Value,
  { from, count }: Step,
  { denoise, combine, noise, options }: SamplerVerbs<Settings>,
  move: (score: Value, noise: Value) => (x: Value) => Value,
): Moved {
  let clean: Value | undefined
  for (let correction = 0; correction < options.corrections; correction++) {
    clean = denoise(x, from)
    const score = combine([
      [-1 / from.sigma ** 2, x],
      [from.alpha / from.sigma ** 2, clean],
    ])
    x = move(score, noise(count * options.corrections + correction, 'corrector'))(x)
  }
  return { x, clean }
}
