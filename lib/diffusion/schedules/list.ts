/** Every schedule, by kind. A new one is a file beside this one and a line here. */
import type { ScheduleDefinition } from '../define-schedule.js'
import { cosine } from './cosine.js'
import { linear } from './linear.js'

export const schedules = { linear, cosine } satisfies Record<string, ScheduleDefinition>
