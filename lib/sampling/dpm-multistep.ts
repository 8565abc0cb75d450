/**
 * The multistep DPM-Solver and DPM-Solver++ of second and third order, of the ODE and of the SDE: the derivatives of the clean image,
 * or of the noise, are taken from the predictions of the steps before, so that a step asks the network once. The numbers are in
 * `dpm-solver-numbers.ts` and `dpm-noise-form.ts`.
 */
import * as z from 'zod'
import type { Level } from '../diffusion/schedule.js'
import type { SamplerVerbs, Terms, Value } from './define-sampler.js'
import { noiseStep, noiseTerms } from './dpm-noise-form.js'
import {
  type DataStep,
  dataStep,
  derivatives,
  lambdaOf,
  type Prediction,
  type SecondOrderSolver,
  scaled,
  secondOrderSolvers,
} from './dpm-solver-numbers.js'
import { pairs } from './levels.js'

/**
 * How much of the curvature a step of third order takes. `full` is of third order. The code of Lu et al., diffusers and
 * k-diffusion take half of it, which leaves second order with a smaller error: `half` follows them number for number.
 * `mistaken` follows diffusers' SDE of third order, whose coefficient has a wrong sign: it is of first order.
 */
const curvatures = {
  full: ({ curve }) => curve,
  half: ({ curve }) => 0.5 * curve,
  mistaken: ({ mistakenCurve }) => 0.5 * mistakenCurve,
} as const satisfies Record<string, (step: DataStep) => number>
export type Curvature = keyof typeof curvatures

export const curvatureOption = z
  .enum(['full', 'half'])
  .default('full')
  .describe('full: third order; half: as the published code, of second order')

export const sdeCurvatureOption = z
  .enum(['full', 'half', 'mistaken'])
  .default('full')
  .describe('full: that of a parabola; half: as the published code; mistaken: with a wrong sign, as diffusers has it')

export const lowerOrderFinalOption = z
  .boolean()
  .describe(
    'of fewer than 15 steps, take second order for the one before the last, and first order for the last, which to the clean image it always is',
  )

export const eulerAtFinalOption = z
  .boolean()
  .default(false)
  .describe('take first order for the last step, which to the clean image it always is')

export interface Multistep {
  readonly order: 1 | 2 | 3
  readonly solver: SecondOrderSolver
  readonly eta?: number
  readonly noiseScale?: number
  readonly curvature?: Curvature
  readonly lowerOrderFinal?: boolean
  readonly eulerAtFinal?: boolean
  /** What is the polynomial in lambda. */
  readonly form?: SolverForm
}

/** Of fewer steps than these the last ones are of lower order, where `lowerOrderFinal` says so. */
const fewSteps = 15

/** The order of the step before the last, and of the last, in a run that lowers it there. */
export function loweredOrder(order: number, step: number, steps: number): number {
  if (steps >= fewSteps) return order
  return Math.min(order, Math.max(1, steps - step))
}

/** What a solver takes for the polynomial: how it is made of the clean image, and the numbers of a step. */
export const solverForms = {
  clean: { predicted: (_x, clean) => clean, numbers: dataStep },
  noise: { predicted: (x, clean, from, { combine }) => combine(noiseTerms(x, clean, from)), numbers: noiseStep },
} as const satisfies Record<
  string,
  {
    predicted(x: Value, clean: Value, from: Level, verbs: Pick<SamplerVerbs<unknown>, 'combine'>): Value
    numbers(from: Level, to: Level, eta?: number): DataStep
  }
>
export type SolverForm = keyof typeof solverForms

export function dpmMultistep(x: Value, verbs: SamplerVerbs<unknown>, settings: Multistep): Value {
  const { levels, denoise, combine, noise, emit } = verbs
  const { order, solver, eta = 0, noiseScale = 1, curvature = 'full', form = 'clean' } = settings
  const { lowerOrderFinal = false, eulerAtFinal = false } = settings
  const { predicted, numbers: numbersOf } = solverForms[form]
  const steps = levels.length - 1
  let known: readonly Prediction[] = []
  pairs(levels).forEach(([from, to], step) => {
    const clean = denoise(x, from)
    const spansFinite = Number.isFinite(lambdaOf(to) - lambdaOf(from))
    const value = spansFinite ? predicted(x, clean, from, verbs) : clean
    const lowered = lowerOrderFinal ? loweredOrder(order, step, steps) : order
    const taken = eulerAtFinal && step === steps - 1 ? 1 : lowered
    known = [{ value, lambda: lambdaOf(from) }, ...known].slice(0, taken)
    const numbers = spansFinite ? numbersOf(from, to, eta) : dataStep(from, to, eta)
    const terms: Terms = [
      [numbers.keep, x],
      [numbers.constant, value],
    ]
    // A last step that stays where it is has no derivatives either.
    const { slope, curve } = derivatives(numbers.h, spansFinite && numbers.h > 0 ? known : [])
    const slopeWeight = curve.length > 0 ? numbers.slope : secondOrderSolvers[solver](numbers)
    const spread = noiseScale * numbers.spread
    x = combine([
      ...terms,
      ...scaled(slopeWeight, slope),
      ...scaled(curvatures[curvature](numbers), curve),
      ...(spread === 0 ? [] : [[spread, noise(step)] as const]),
    ])
    x = emit(x, clean)
  })
  return x
}
