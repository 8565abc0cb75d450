/**
 * Dormand and Prince's method of order 5(4) on the probability-flow ODE with steps that hold an error bound, for every sample
 * on its own (Song et al. 2021, arXiv 2011.13456, §4.3 and appendix D.4, whose solver holds it for the whole batch at once, so that a
 * sample depends on its company). Six evaluations a step.
 */
import * as z from 'zod'
import { adaptiveFlow, toleranceFields } from './adaptive-flow.js'
import { defineAdaptiveSampler } from './define-sampler.js'
import { embeddedTableaus } from './runge-kutta-tableau.js'

const rk45Schema = z.strictObject({ kind: z.literal('rk45'), ...toleranceFields })

export const rk45 = defineAdaptiveSampler('rk45', rk45Schema, (problem, settings) =>
  adaptiveFlow(problem, embeddedTableaus['dormand-prince'], settings),
)
