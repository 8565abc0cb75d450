/** What the network's output F means, as numbers per level. Each prediction is one file in `predictions/`. */
import type * as z from 'zod'
import type { KindSchema } from '../options/kind-schema.js'
import type { Level, Schedule } from './schedule.js'

/**
 * The numbers that tie a network's output F to the clean image and to its training target:
 * clean = cSkip * x_t + cOut * F, and F is trained towards targetClean * x_0 + targetNoise * noise;
 * the network is given cIn * x_t.
 */
export interface PredictionNumbers {
  readonly cIn: number
  readonly cSkip: number
  readonly cOut: number
  readonly targetClean: number
  readonly targetNoise: number
}

export interface Prediction {
  readonly name: string
  /** @throws DpmError DPM_INVALID_ARGUMENT where the clean image does not follow from this prediction. */
  numbers(level: Level): PredictionNumbers
}

export interface PredictionDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  /** @throws DpmError DPM_INVALID_OPTION when the schedule has nothing that the prediction could mean. */
  create(settings: z.output<Schema>, schedule: Schedule): Prediction
}

export function definePrediction<Schema extends KindSchema>(definition: {
  readonly name: string
  readonly options: Schema
  readonly create: (settings: z.output<Schema>, schedule: Schedule) => Prediction
}): PredictionDefinition<Schema> {
  return { name: definition.name, schema: definition.options, create: definition.create }
}
