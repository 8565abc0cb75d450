/** A schedule as the catalog lists it: its name, its options, and how settings become a schedule. */
import type * as z from 'zod'
import type { KindSchema } from '../options/kind-schema.js'
import { defineOptions, type OptionsDefinition } from '../options/options.js'
import type { Schedule } from './schedule.js'

export interface ScheduleDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  /** The options as zod has them, for unions over all kinds. */
  readonly schema: Schema
  readonly options: OptionsDefinition<z.output<Schema>>
  /** @throws DpmError DPM_INVALID_OPTION when the settings do not describe a schedule, e.g. a beta of 1 or more. */
  create(settings: z.output<Schema>): Schedule
}

export function defineSchedule<Schema extends KindSchema>(definition: {
  readonly name: string
  readonly options: Schema
  readonly create: (settings: z.output<Schema>) => Schedule
}): ScheduleDefinition<Schema> {
  return {
    name: definition.name,
    schema: definition.options,
    options: defineOptions(definition.name, definition.options),
    create: definition.create,
  }
}
