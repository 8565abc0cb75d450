/**
 * The singlestep DPM-Solver and DPM-Solver++ of orders 1 to 3 on the levels of the run (Lu et al. 2022, arXiv 2206.00927 and 2211.01095;
 * diffusers' DPMSolverSinglestepScheduler): `order` steps make a group. Each starts from x at the group's first level s again, one level
 * further, with one prediction more. In the clean image (`form`), with h from s to t, and r_1 and r_0 the shares of it at which the second
 * and the third prediction lie,
 *
 *     1:  x_t = sigma_t / sigma_s x_s + alpha_t h phi_1(-h) clean_s
 *     2:  … + slope h clean',            h clean' = (clean_1 - clean_s) / r_1
 *     3:  … + alpha_t h phi_2(-h) h clean' [+ alpha_t h phi_3(-h) h² clean'']
 *
 * `solver` says how the second weighs its slope; of the third, `midpoint` takes the slope of the last prediction alone, and `heun`
 * slope and curvature of the parabola. In the noise it is the same with the numbers of `dpm-noise-form.ts`. With eta, every step draws noise
 * from s anew.
 *
 * Of a run whose steps make no whole groups, of one that ends at the clean image, and where `lowerOrderFinal` says so, the last steps are
 * of lower order. A step whose h is infinite is a group of its own, of first order.
 *
 * The order in h is that of the option; the mistaken curvature makes the SDE of order 3 one of order 1.
 */
import * as z from 'zod'
import type { Level } from '../diffusion/schedule.js'
import { defineSampler, type Terms, type Value } from './define-sampler.js'
import { type SolverForm, solverForms } from './dpm-multistep.js'
import {
  type DataStep,
  dataStep,
  lambdaOf,
  noiseScaleOption,
  type Prediction,
  type SecondOrderSolver,
  scaled,
  secondOrderSolvers,
  solverOption,
} from './dpm-solver-numbers.js'
import { pairs } from './levels.js'

const dpmSinglestepSchema = z.strictObject({
  kind: z.literal('dpm-singlestep'),
  order: z.int().min(1).max(3).default(2).describe('steps of a group, of which the last is of this order'),
  form: z
    .enum(Object.keys(solverForms) as [SolverForm, ...SolverForm[]])
    .default('clean')
    .describe('what is interpolated: the clean image (DPM-Solver++), or the noise (DPM-Solver)'),
  solver: solverOption.default('midpoint'),
  eta: z.number().min(0).max(1).default(0).describe('0: deterministic; 1: the noise of ancestral sampling'),
  noiseScale: noiseScaleOption,
  curvature: z
    .enum(['full', 'mistaken'])
    .default('full')
    .describe(
      'of a step of third order with `solver` heun; mistaken: with a wrong sign, as the SDE of diffusers has it',
    ),
  lowerOrderFinal: z.boolean().default(false).describe('end with a group of its own, of lower order'),
})
type Settings = z.output<typeof dpmSinglestepSchema>

/** The group that is under way. */
interface Group {
  readonly x: Value
  readonly from: Level
  /** The newest first. */
  readonly known: readonly Prediction[]
}

export const dpmSinglestep = defineSampler('dpm-singlestep', dpmSinglestepSchema, (x, verbs) => {
  const { levels, denoise, combine, noise, emit, options } = verbs
  const { form, solver, eta, noiseScale } = options
  const { predicted, numbers: numbersOf } = solverForms[form]
  const orders = groupOrders(levels, options)
  let current: Group | undefined
  pairs(levels).forEach(([from, to], step) => {
    const clean = denoise(x, from)
    const spansFinite = Number.isFinite(lambdaOf(to) - lambdaOf(from))
    const here = { value: spansFinite ? predicted(x, clean, from, verbs) : clean, lambda: lambdaOf(from) }
    const group: Group =
      current && (orders[step] ?? 1) > 1 ? { ...current, known: [here, ...current.known] } : { x, from, known: [here] }
    current = group
    const numbers = spansFinite ? numbersOf(group.from, to, eta) : dataStep(from, to, eta)
    const spread = noiseScale * numbers.spread
    const start = group.known.at(-1)?.value ?? clean
    x = combine([
      [numbers.keep, group.x],
      [numbers.constant, start],
      ...bend(numbers, group.known, solver, options.curvature),
      ...(spread === 0 ? [] : [[spread, noise(step)] as const]),
    ])
    x = emit(x, clean)
  })
  return x
})

/** The order of every step of a run between levels. */
function groupOrders(levels: readonly Level[], { order, lowerOrderFinal }: Settings): readonly number[] {
  const alone = (levels[0]?.alpha ?? 0) === 0 ? 1 : 0
  const steps = levels.length - 1 - alone
  const isClean = levels.at(-1)?.sigma === 0
  const group = Array.from({ length: order }, (_, place) => place + 1)
  const isLowered = lowerOrderFinal || isClean || steps % order !== 0
  const groups = isLowered ? Math.ceil(steps / order) - 1 : steps / order
  const rest = steps - Math.max(0, groups) * order
  const whole = Array.from({ length: Math.max(0, groups) }, () => group).flat()
  // What is left ends with a step of first order where it would be a whole group.
  const last = group.slice(0, rest).map((one, place) => (isLowered && place === order - 1 ? 1 : one))
  const orders = [...new Array<number>(alone).fill(1), ...whole, ...last]
  if (isClean) orders[orders.length - 1] = 1
  return orders
}

/** What the predictions beside the group's first add: none, a slope, or a slope and a curvature. */
function bend(
  numbers: DataStep,
  known: readonly Prediction[],
  solver: SecondOrderSolver,
  curvature: Settings['curvature'],
): Terms {
  const [newest, between, oldest] = known
  if (!newest || !between || !(numbers.h > 0)) return []
  const start = oldest ?? between
  const slopeTo = (point: Prediction): Terms => {
    const share = (point.lambda - start.lambda) / numbers.h
    return [
      [1 / share, point.value],
      [-1 / share, start.value],
    ]
  }
  if (!oldest) return scaled(secondOrderSolvers[solver](numbers), slopeTo(newest))
  if (solver === 'midpoint') return scaled(numbers.slope, slopeTo(newest))
  const [far, near] = [newest, between].map(({ lambda }) => (lambda - start.lambda) / numbers.h)
  const gap = (far ?? 1) - (near ?? 0)
  const curve = curvature === 'full' ? numbers.curve : numbers.mistakenCurve
  return [
    ...scaled((numbers.slope * (far ?? 1)) / gap, slopeTo(between)),
    ...scaled((-numbers.slope * (near ?? 0)) / gap, slopeTo(newest)),
    ...scaled((2 * curve) / gap, slopeTo(newest)),
    ...scaled((-2 * curve) / gap, slopeTo(between)),
  ]
}
