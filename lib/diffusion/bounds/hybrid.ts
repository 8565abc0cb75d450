/**
 * L_hybrid = L_simple + lambda L_vlb with the mean detached in L_vlb, which so teaches the learned variance alone (Nichol and
 * Dhariwal 2021, arXiv 2102.09672, eq. 16). L_vlb is the sum over the T times in bits per dimension, estimated as T times
 * the term of the drawn time: with lambda 0.001 the term counts T / 1000, as in their code.
 */
import * as z from 'zod'
import { defineBound } from '../bound.js'

export const hybrid = defineBound({
  name: 'hybrid',
  options: z.strictObject({
    kind: z.literal('hybrid'),
    lambda: z.number().gt(0).default(0.001).describe('factor on the bound in bits per dimension'),
  }),
  share: ({ lambda }, steps) => ({ bound: (lambda * steps) / Math.LN2, simple: 1, detachMean: true }),
})
