/**
 * Heun's method on straight paths, order 2: the mean of the velocities at t and, where Euler's step leads, at s. Two evaluations
 * a step, one in the last. (Karras et al. 2022, arXiv 2206.00364, algorithm 1, with alpha = 1 - t and sigma = t.)
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { tableaus } from './runge-kutta-tableau.js'
import { straightFlow } from './straight-flow.js'

const flowHeunSchema = z.strictObject({ kind: z.literal('flow-heun') })

export const flowHeun = defineSampler('flow-heun', flowHeunSchema, (x, verbs) =>
  straightFlow('flow-heun', x, tableaus.heun, verbs),
)
