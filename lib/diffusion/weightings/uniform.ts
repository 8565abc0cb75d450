/** Weight 1 on the network's own target: with predicted noise this is L_simple of Ho et al. 2020 (eq. 14). */
import * as z from 'zod'
import { defineWeighting } from '../weighting.js'

export const uniform = defineWeighting({
  name: 'uniform',
  options: z.strictObject({ kind: z.literal('uniform') }),
  create: () => () => 1,
})
