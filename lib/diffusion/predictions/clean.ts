/** The network predicts the clean image itself: clean = F. */
import type { Prediction } from '../prediction.js'

const numbers = Object.freeze({ cIn: 1, cSkip: 0, cOut: 1, targetClean: 1, targetNoise: 0 })

export const cleanPrediction: Prediction = { name: 'clean', numbers: () => numbers }
