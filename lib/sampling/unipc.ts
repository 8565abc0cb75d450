/**
 * UniPC (Zhao et al. 2023, arXiv 2302.04867), of orders 1 to 3, in the clean image or in the noise. In the clean image, with h = lambda_t - lambda_s, the
 * differences D_k = (clean_k - clean_s) / r_k to the predictions before, r_k = (lambda_k - lambda_s) / h, and for the
 * corrector also to the one at t, whose r is 1:
 *
 *     x_t = sigma_t / sigma_s x_s + alpha_t (1 - e^(-h)) clean_s - alpha_t B · sum of a_k D_k
 *     sum over k of r_k^(i-1) a_k = i! z phi_{i+1}(z) / B,   z = -h,   i = 1 … number of differences
 *
 * In the noise (`form`, the paper's first), with D_k the differences of noises,
 *
 *     x_t = alpha_t / alpha_s x_s - sigma_t (e^h - 1) noise_s - sigma_t B · sum of a_k D_k,   z = h.
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
import { type SolverForm, solverForms } from './dpm-multistep.js'
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
  uncorrected: z
    .array(z.int().min(0).max(1_000_000))
    .max(1_000_000)
    .default([])
    .describe('steps, counted from 0, that are not corrected all the same'),
  form: z
    .enum(Object.keys(solverForms) as [SolverForm, ...SolverForm[]])
    .default('clean')
    .describe('what is interpolated: the clean image that the network predicts, or the noise'),
  lowerOrderFinal: z.boolean().default(true).describe('no order above the number of steps that are left'),
})

/** A step as it was predicted, for the corrector to take again. */
interface Taken {
  readonly x: Value
  readonly from: Level
  /** Its count from the start of the run. */
  readonly step: number
  /** The newest first. */
  readonly known: readonly Prediction[]
}

export const unipc = defineSampler('unipc', unipcSchema, (x, verbs) => {
  const { levels, denoise, combine, emit, options } = verbs
  const { order, variant, corrector, uncorrected, lowerOrderFinal, form } = options
  const { predicted, numbers, bent } = forms[form]
  const skipped = new Set(uncorrected)
  const steps = levels.length - 1
  let known: readonly Prediction[] = []
  let taken: Taken | undefined
  pairs(levels).forEach(([from, to], step) => {
    const clean = denoise(x, from)
    const spansFinite = Number.isFinite(lambdaOf(to) - lambdaOf(from))
    const here = { value: spansFinite || taken ? predicted(x, clean, from, verbs) : clean, lambda: lambdaOf(from) }
    if (taken && corrector && !skipped.has(taken.step)) {
      const { keep, constant, h } = numbers(taken.from, from)
      const points = [...taken.known.slice(1), here]
      const base = taken.known[0]
      if (base) x = combine([[keep, taken.x], [constant, base.value], ...bend(bent(from, h), h, base, points, variant)])
    }
    // A prediction at a level without signal is infinitely far away.
    known = [here, ...known].filter(({ lambda }) => Number.isFinite(lambda)).slice(0, order)
    const used = lowerOrderFinal ? known.slice(0, steps - step) : known
    const { keep, constant, h } = spansFinite ? numbers(from, to) : dataStep(from, to)
    taken = used.length > 0 && spansFinite && h > 0 ? { x, from, step, known: used } : undefined
    const points = taken ? used.slice(1) : []
    x = combine([
      [keep, x],
      [constant, spansFinite ? here.value : clean],
      ...bend(bent(to, h), h, here, points, variant),
    ])
    x = emit(x, clean)
  })
  return x
})

interface Bent {
  /** alpha_t, or sigma_t. */
  readonly scale: number
  readonly z: number
}

/** The forms of the solvers, and what the differences count with at the level of the end of a step. */
const forms = {
  clean: { ...solverForms.clean, bent: ({ alpha }: Level, h: number): Bent => ({ scale: alpha, z: -h }) },
  noise: { ...solverForms.noise, bent: ({ sigma }: Level, h: number): Bent => ({ scale: sigma, z: h }) },
} as const satisfies Record<SolverForm, unknown>

/** - scale B · sum of a_k D_k, the differences being those of `points` to `base`. */
function bend(
  { scale, z: at }: Bent,
  h: number,
  base: Prediction,
  points: readonly Prediction[],
  variant: Variant,
): Terms {
  const ratios = points.map(({ lambda }) => (lambda - base.lambda) / h)
  const scaledWeights =
    points.length === 1 ? [variants[variant](at) / 2] : weightsOf(ratios, (i) => factorial(i) * at * phi(i + 1, at))
  return points.flatMap(({ value }, k) => {
    const weight = (-scale * (scaledWeights[k] ?? 0)) / (ratios[k] ?? 1)
    return [[weight, value] as const, [-weight, base.value] as const]
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
