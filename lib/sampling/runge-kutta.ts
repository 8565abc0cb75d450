/**
 * Any fixed-step Runge–Kutta method on the probability-flow ODE, between the levels of the run (Song et al. 2021, arXiv
 * 2011.13456, §4.3): the table is in `runge-kutta-tableau.ts`, the equation in `runge-kutta-steps.ts`. A step takes as many
 * evaluations as the table has stages, the last, which is denoising, one.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { flowPaths, ratioPaths, rungeKuttaSteps } from './runge-kutta-steps.js'
import { tableauNames, tableaus } from './runge-kutta-tableau.js'

/** The variable of the ODE. A method of order 2 or more errs by what curves along it. */
export const variableField = z
  .enum(ratioPaths)
  .default('log-ratio')
  .describe('integrate along ln(sigma / alpha), or along sigma / alpha')

const rungeKuttaSchema = z.strictObject({
  kind: z.literal('runge-kutta'),
  method: z.enum(tableauNames).default('rk4').describe('the table'),
  variable: variableField,
})

export const rungeKutta = defineSampler('runge-kutta', rungeKuttaSchema, (x, verbs) => {
  const { method, variable } = verbs.options
  return rungeKuttaSteps(x, tableaus[method], flowPaths[variable], verbs)
})
