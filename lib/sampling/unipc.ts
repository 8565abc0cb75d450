/**
 * UniPC (Zhao et al. 2023, arXiv 2302.04867), in the clean image, of orders 1 to 3. With h = lambda_t - lambda_s, the
 * differences D_k = (clean_k - clean_s) / r_k to the predictions before, r_k = (lambda_k - lambda_s) / h, and for the
 * corrector also to the one at t, whose r is 1:
 *
 *     x_t = sigma_t / sigma_s x_s + alpha_t (1 - e^(-h)) clean_s - alpha_t B · sum of a_k D_k
 *     sum over k of r_k^(i-1) a_k = i! z phi_{i+1}(z) / B,   z = -h,   i = 1 … number of differences
 *
 * B is z (`bh1`) or e^z - 1 (`bh2`). It tells only where the one number a is set to 1/2 instead of solved for, as the paper
 * does for the predictor of order 2 and the corrector of order 1.
 *
 * The corrector of a step takes the prediction that the next step needs anyway, at the uncorrected x: one evaluation a
 * step, and one order more. What is emitted is the predictor's x; the next step goes on from the corrected one. The last
 * step, to the clean image, is of first order.
 */
import * as z from 'zod'
import type { Level } from '../diffusion/schedule.js'
import { defineSampler, type Terms, type Value } from './define-sampler.js'
import { dataStep, lambdaOf, type Prediction, phi } from './dpm-solver-numbers.js'
import { pairs } from './levels.js'

const variants = {
  bh1: (at) => at,
  bh2: (at) => Math.expm1(at),
} as const satisfies Record<string, (z: number) => number>
type Variant = keyof typeof variants

const unipcSchema = z.strictObject({
  kind: z.literal('unipc'),
  order: z.int().min(1).max(3).default(2).describe('of the predictor; the corrector adds one'),
  variant: z
    .enum(Object.keys(variants) as [Variant, ...Variant[]])
    .default('bh2')
    .describe("the paper's B(h): bh1 for runs without guidance, bh2 otherwise"),
  corrector: z.boolean().default(true).describe('correct each step with the prediction of the next'),
  lowerOrderFinal: z.boolean().default(true).describe('no order above the number of steps that are left'),
})

/** A step as it was predicted, for the corrector to take again. */
interface Taken {
  readonly x: Value
  readonly from: Level
  /** The newest first. */
  readonly known: readonly Prediction[]
}

export const unipc = defineSampler('unipc', unipcSchema, (x, { levels, denoise, combine, emit, options }) => {
  const { order, variant, corrector, lowerOrderFinal } = options
  const steps = levels.length - 1
  let known: readonly Prediction[] = []
  let taken: Taken | undefined
  pairs(levels).forEach(([from, to], step) => {
    const clean = denoise(x, from)
    const here = { clean, lambda: lambdaOf(from) }
    if (taken && corrector) {
      const { keep, constant, h } = dataStep(taken.from, from)
      const points = [...taken.known.slice(1), here]
      const base = taken.known[0]
      if (base) x = combine([[keep, taken.x], [constant, base.clean], ...bend(from, h, base, points, variant)])
    }
    // A prediction at a level without signal is infinitely far away.
    known = [here, ...known].filter(({ lambda }) => Number.isFinite(lambda)).slice(0, order)
    const used = lowerOrderFinal ? known.slice(0, steps - step) : known
    const { keep, constant, h } = dataStep(from, to)
    taken = used.length > 0 && Number.isFinite(h) ? { x, from, known: used } : undefined
    const points = taken ? used.slice(1) : []
    x = combine([[keep, x], [constant, clean], ...bend(to, h, here, points, variant)])
    x = emit(x, clean)
  })
  return x
})

/** - alpha_t B · sum of a_k D_k, the differences being those of `points` to `base`. */
function bend({ alpha }: Level, h: number, base: Prediction, points: readonly Prediction[], variant: Variant): Terms {
  const ratios = points.map(({ lambda }) => (lambda - base.lambda) / h)
  const scaledWeights =
    points.length === 1 ? [variants[variant](-h) / 2] : weightsOf(ratios, (i) => factorial(i) * -h * phi(i + 1, -h))
  return points.flatMap(({ clean }, k) => {
    const weight = (-alpha * (scaledWeights[k] ?? 0)) / (ratios[k] ?? 1)
    return [[weight, clean] as const, [-weight, base.clean] as const]
  })
}

/**
 * The numbers a with sum over k of r_k^(i-1) a_k = moment(i) for i = 1 … : a_k is the sum of the coefficients of the k-th
 * Lagrange polynomial through the points r, each times its moment.
 */
function weightsOf(ratios: readonly number[], moment: (i: number) => number): readonly number[] {
  return ratios.map((own, k) => {
    let coefficients = [1]
    ratios.forEach((other, j) => {
      if (j === k) return
      const gap = own - other
      coefficients = [...coefficients, 0].map(
        (_, power) => ((coefficients[power - 1] ?? 0) - other * (coefficients[power] ?? 0)) / gap,
      )
    })
    return coefficients.reduce((sum, coefficient, power) => sum + coefficient * moment(power + 1), 0)
  })
}

function factorial(n: number): number {
  return n <= 1 ? 1 : n * factorial(n - 1)
}
