/** How much the loss counts at each level. Each weighting is one file in `weightings/`. */
import type * as z from 'zod'
import type { KindSchema } from '../options/kind-schema.js'
import type { Learner } from './learned/learner.js'
import type { PredictionNumbers } from './prediction.js'
import type { Level, Schedule } from './schedule.js'

/**
 * The factor on the squared error of the network's own output F at a level.
 *
 * An error e of F is an error cOut · e of the clean image, so a weight w on the clean image's squared error is
 * w · cOut² here, whatever the network predicts.
 */
export interface Weighting {
  (level: Level, numbers: PredictionNumbers): number
  /** What makes the weights, where training does. */
  readonly learner?: Learner
}

export interface WeightingDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  /** @throws DpmError DPM_INVALID_OPTION when the weight has no meaning on the schedule. */
  create(settings: z.output<Schema>, schedule: Schedule): Weighting
}

export function defineWeighting<Schema extends KindSchema>(definition: {
  readonly name: string
  readonly options: Schema
  readonly create: (settings: z.output<Schema>, schedule: Schedule) => Weighting
}): WeightingDefinition<Schema> {
  return { name: definition.name, schema: definition.options, create: definition.create }
}

/** Power of the signal over power of the noise: alpha² / sigma². */
export function signalToNoise({ alpha, sigma }: Level): number {
  return (alpha * alpha) / (sigma * sigma)
}
