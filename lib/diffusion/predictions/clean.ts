/** The network predicts the clean image itself: clean = F. */
import * as z from 'zod'
import { definePrediction } from '../prediction.js'

const numbers = Object.freeze({ cIn: 1, cSkip: 0, cOut: 1, targetClean: 1, targetNoise: 0 })

export const cleanPrediction = definePrediction({
  name: 'clean',
  options: z.strictObject({ kind: z.literal('clean') }),
  create: () => ({ name: 'clean', numbers: () => numbers }),
})
