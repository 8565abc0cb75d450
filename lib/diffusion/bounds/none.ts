/** No term of the bound: the loss compares output and target, as L_simple of Ho et al. 2020 (arXiv 2006.11239, eq. 14) does. */
import * as z from 'zod'
import { defineBound } from '../bound.js'

export const none = defineBound({
  name: 'none',
  options: z.strictObject({ kind: z.literal('none') }),
  share: () => ({ bound: 0, simple: 1, detachMean: false }),
})
