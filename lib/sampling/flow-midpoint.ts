/**
 * The midpoint method on straight paths (Lipman et al. 2022, arXiv 2210.02747, §6), order 2: the velocity at
 * (t + s) / 2, to where Euler's half step leads, is taken over the whole step. Two evaluations a step, one in the last.
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { tableaus } from './runge-kutta-tableau.js'
import { straightFlow } from './straight-flow.js'

const flowMidpointSchema = z.strictObject({ kind: z.literal('flow-midpoint') })

export const flowMidpoint = defineSampler('flow-midpoint', flowMidpointSchema, (x, verbs) =>
  straightFlow('flow-midpoint', x, tableaus.midpoint, verbs),
)
