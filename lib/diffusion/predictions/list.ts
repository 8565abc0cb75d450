/** What a network's output can mean, by name. */
import type { Prediction } from '../prediction.js'
import { cleanPrediction } from './clean.js'
import { noisePrediction } from './noise.js'
import { velocityPrediction } from './velocity.js'

export const predictions = {
  noise: noisePrediction,
  clean: cleanPrediction,
  velocity: velocityPrediction,
} satisfies Record<string, Prediction>
export type PredictionName = keyof typeof predictions
