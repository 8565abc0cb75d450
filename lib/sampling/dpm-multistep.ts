/**
 * The multistep DPM-Solver++ of second and third order, of the ODE and of the SDE: the derivatives of the clean image are
 * taken from the predictions of the steps before, so that a step asks the network once. The numbers are in
 * `dpm-solver-numbers.ts`.
 */
import * as z from 'zod'
import type { SamplerVerbs, Terms, Value } from './define-sampler.js'
import {
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
 */
export const curvatures = { full: 1, half: 0.5 } as const
export type Curvature = keyof typeof curvatures

export const curvatureOption = z
  .enum(Object.keys(curvatures) as [Curvature, ...Curvature[]])
  .default('full')
  .describe('full: third order; half: as the published code, of second order')

export const lowerOrderFinalOption = z
  .boolean()
  .describe('of fewer than 15 steps, take second order for the one before the last')

export interface Multistep {
  readonly order: 2 | 3
  readonly solver: SecondOrderSolver
  readonly eta?: number
  readonly noiseScale?: number
  readonly curvature?: Curvature
  readonly lowerOrderFinal?: boolean
}

const fewSteps = 15

export function dpmMultistep(x: Value, verbs: SamplerVerbs<unknown>, settings: Multistep): Value {
  const { levels, denoise, combine, noise, emit } = verbs
  const { order, solver, eta = 0, noiseScale = 1, curvature = 'full', lowerOrderFinal = false } = settings
  const steps = levels.length - 1
  let known: readonly Prediction[] = []
  pairs(levels).forEach(([from, to], step) => {
    const clean = denoise(x, from)
    const lowered = lowerOrderFinal && steps < fewSteps && step === steps - 2
    known = [{ clean, lambda: lambdaOf(from) }, ...known].slice(0, lowered ? 2 : order)
    const numbers = dataStep(from, to, eta)
    const terms: Terms = [
      [numbers.keep, x],
      [numbers.constant, clean],
    ]
    const { slope, curve } = derivatives(numbers.h, Number.isFinite(numbers.h) ? known : [])
    const slopeWeight = curve.length > 0 ? numbers.slope : secondOrderSolvers[solver](numbers)
    const spread = noiseScale * numbers.spread
    x = combine([
      ...terms,
      ...scaled(slopeWeight, slope),
      ...scaled(numbers.curve * curvatures[curvature], curve),
      ...(spread === 0 ? [] : [[spread, noise(step)] as const]),
    ])
    x = emit(x, clean)
  })
  return x
}
