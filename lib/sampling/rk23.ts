/**
 * Bogacki and Shampine's method of order 3(2) on the probability-flow ODE, with steps that hold an error bound for every sample on its
 * own: `rk45` for loose bounds. Three evaluations a step.
 */
import * as z from 'zod'
import { adaptiveFlow, toleranceFields } from './adaptive-flow.js'
import { defineAdaptiveSampler } from './define-sampler.js'
import { embeddedTableaus } from './runge-kutta-tableau.js'

const rk23Schema = z.strictObject({ kind: z.literal('rk23'), ...toleranceFields })

export const rk23 = defineAdaptiveSampler('rk23', rk23Schema, (problem, settings) =>
  adaptiveFlow(problem, embeddedTableaus['bogacki-shampine'], settings),
)
