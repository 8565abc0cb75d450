/** Every time 0 … T-1 alike (Ho et al. 2020, algorithm 1), keyed by (seed, epoch, example). */
import { uniform } from '../../random/philox.js'
import type { TimeSampler } from './time-sampler.js'

export const uniformTimes: TimeSampler = {
  name: 'uniform',
  // uniform() is at most 1 - 2^-53, so the product rounds to less than `steps`.
  timeOf: (seed, epoch, example, steps) => Math.floor(uniform(seed, 'time', epoch, example) * steps),
}
