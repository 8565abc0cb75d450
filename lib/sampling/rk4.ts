/**
 * Kutta's method of order 4 on the probability-flow ODE: `runge-kutta` with its best-known table. Four evaluations a step.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { variableField } from './runge-kutta.js'
import { flowPaths, rungeKuttaSteps } from './runge-kutta-steps.js'
import { tableaus } from './runge-kutta-tableau.js'

const rk4Schema = z.strictObject({ kind: z.literal('rk4'), variable: variableField })

export const rk4 = defineSampler('rk4', rk4Schema, (x, verbs) =>
  rungeKuttaSteps(x, tableaus.rk4, flowPaths[verbs.options.variable], verbs),
)
