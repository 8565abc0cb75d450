/** Every way to choose training times, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { nameOrOptions, schemasOf } from '../../options/kind-schema.js'
import type { Schedule } from '../schedule.js'
import { antitheticTimes } from './antithetic.js'
import { logNormalTimes } from './log-normal.js'
import { logitNormalTimes } from './logit-normal.js'
import { lossSecondMomentTimes } from './loss-second-moment.js'
import { lowDiscrepancyTimes } from './low-discrepancy.js'
import { stratifiedTimes } from './stratified.js'
import type { TimeSampler, TimeSamplerDefinition } from './time-sampler.js'
import { uniformTimes } from './uniform.js'

export const timeSamplers = {
  uniform: uniformTimes,
  stratified: stratifiedTimes,
  antithetic: antitheticTimes,
  'low-discrepancy': lowDiscrepancyTimes,
  'log-normal': logNormalTimes,
  'logit-normal': logitNormalTimes,
  'loss-second-moment': lossSecondMomentTimes,
} satisfies Record<string, TimeSamplerDefinition>

export const timesSchema = nameOrOptions(z.discriminatedUnion('kind', schemasOf(timeSamplers)))
export type TimesSettings = z.output<typeof timesSchema>

/** @throws DpmError DPM_INVALID_OPTION when the schedule and the way of choosing times do not fit together. */
export function createTimes(settings: TimesSettings, schedule: Schedule): TimeSampler {
  const definition: TimeSamplerDefinition = timeSamplers[settings.kind]
  return definition.create(settings, schedule)
}
