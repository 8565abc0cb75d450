/**
 * Euler's method on straight paths (Liu et al. 2022, arXiv 2209.03003, §2.1), order 1: with t = sigma,
 *
 *     x_s = x_t + (s - t) (x_t - clean) / t
 */
import * as z from 'zod'
import { defineSampler } from './define-sampler.js'
import { tableaus } from './runge-kutta-tableau.js'
import { straightFlow } from './straight-flow.js'

const flowEulerSchema = z.strictObject({ kind: z.literal('flow-euler') })

export const flowEuler = defineSampler('flow-euler', flowEulerSchema, (x, verbs) =>
  straightFlow('flow-euler', x, tableaus.euler, verbs),
)
