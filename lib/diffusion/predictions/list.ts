/** What a network's output can mean, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { nameOrOptions, schemasOf } from '../../options/kind-schema.js'
import { parseOptions } from '../../options/options.js'
import type { Prediction, PredictionDefinition } from '../prediction.js'
import type { Schedule } from '../schedule.js'
import { cleanPrediction } from './clean.js'
import { edmPrediction } from './edm.js'
import { flowPrediction } from './flow.js'
import { noisePrediction } from './noise.js'
import { noiseResidualPrediction } from './noise-residual.js'
import { previousMeanPrediction } from './previous-mean.js'
import { scorePrediction } from './score.js'
import { velocityPrediction } from './velocity.js'

export const predictions = {
  noise: noisePrediction,
  'noise-residual': noiseResidualPrediction,
  clean: cleanPrediction,
  velocity: velocityPrediction,
  score: scorePrediction,
  flow: flowPrediction,
  edm: edmPrediction,
  'previous-mean': previousMeanPrediction,
} satisfies Record<string, PredictionDefinition>
export type PredictionName = keyof typeof predictions

export const predictionSchema = nameOrOptions(z.discriminatedUnion('kind', schemasOf(predictions)))
export type PredictionOptions = z.input<typeof predictionSchema>
export type PredictionSettings = z.output<typeof predictionSchema>

/** @throws DpmError DPM_INVALID_OPTION when the schedule and the prediction do not fit together. */
export function createPrediction(settings: PredictionSettings, schedule: Schedule): Prediction {
  const definition: PredictionDefinition = predictions[settings.kind]
  return definition.create(settings, schedule)
}

/** A prediction by its name, or by its options. */
export function resolvePrediction(options: PredictionOptions, schedule: Schedule, place = 'prediction'): Prediction {
  return createPrediction(parseOptions(predictionSchema, options, place), schedule)
}
