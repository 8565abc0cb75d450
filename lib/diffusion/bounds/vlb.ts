/**
 * L_vlb alone, the sum of the T terms in bits per dimension, estimated as T times the term of the drawn time (Nichol and
 * Dhariwal 2021, arXiv 2102.09672, eq. 4; the rescaled KL of their code); with a fixed variance L of Ho et al. 2020 (arXiv 2006.11239,
 * eq. 5). The loss less the prior's term, which does not depend on the network. Best with times "loss-second-moment".
 */
import * as z from 'zod'
import { defineBound } from '../bound.js'

export const vlbBound = defineBound({
  name: 'vlb',
  options: z.strictObject({ kind: z.literal('vlb') }),
  share: (_, steps) => ({ bound: steps / Math.LN2, simple: 0, detachMean: false }),
})
