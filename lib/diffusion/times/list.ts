/** Every way to choose training times, by name. */
import type { TimeSampler } from './time-sampler.js'
import { uniformTimes } from './uniform.js'

export const timeSamplers = { uniform: uniformTimes } satisfies Record<string, TimeSampler>
