/** How training chooses the time of an example: by a counter, so that no order, batch size or restart changes it. */
import type * as z from 'zod'
import type { KindSchema } from '../../options/kind-schema.js'
import type { Learner } from '../learned/learner.js'
import type { Schedule } from '../schedule.js'

/** Which draw is asked for. */
export interface TimeDraw {
  readonly seed: number
  /** Whole number below 2^32. */
  readonly epoch: number
  /** Index in the data set. */
  readonly example: number
  /** Update of the run, from 0, and the example's place in its batch: what draws that are spread over a batch go by. */
  readonly step: number
  readonly slot: number
  /** Size of the whole batch. */
  readonly slots: number
}

export interface TimeSampler {
  readonly name: string
  /** A time of the schedule: a whole number where its times are discrete. */
  timeOf(draw: TimeDraw): number
  /** Factor on the loss of an example at this time, where times are drawn unevenly; 1 when absent. */
  weightOf?(time: number): number
  /** What the choice follows, where training finds it. */
  readonly learner?: Learner
}

export interface TimeSamplerDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  create(settings: z.output<Schema>, schedule: Schedule): TimeSampler
}

export function defineTimeSampler<Schema extends KindSchema>(definition: {
  readonly name: string
  readonly options: Schema
  readonly create: (settings: z.output<Schema>, schedule: Schedule) => TimeSampler
}): TimeSamplerDefinition<Schema> {
  return { name: definition.name, schema: definition.options, create: definition.create }
}

/** The time that a share 0 ≤ u < 1 of the schedule's range falls on. */
export function timeOfShare({ steps, cleanest, noisiest }: Schedule, u: number): number {
  return steps === undefined ? cleanest + u * (noisiest - cleanest) : Math.min(Math.floor(u * steps), steps - 1)
}
