/** Schedules of continuous time: alpha and sigma as functions of a real time. */
import { DpmError, expected } from '../errors.js'
import type { Family } from './discrete-schedule.js'
import type { Learner } from './learned/learner.js'
import type { Level, Schedule } from './schedule.js'

export interface ContinuousScheduleParts {
  readonly name: string
  readonly cleanest: number
  readonly noisiest: number
  /** The time that has no noise at all; 0 when absent. */
  readonly cleanTime?: number
  /** Whether `at` knows every finite time above the clean one, also those beyond the ends. */
  readonly beyondEnds?: boolean
  /** alpha and sigma at a time from `cleanest` to `noisiest`. */
  readonly at: (time: number) => Omit<Level, 'time'>
  /** The time at which sigma / alpha is `ratio`: the inverse of `at`. */
  readonly timeAtRatio: (ratio: number) => number
  readonly family: Family
  readonly learner?: Learner | undefined
}

export function continuousSchedule(parts: ContinuousScheduleParts): Schedule {
  const { name, cleanest, noisiest, cleanTime = 0, beyondEnds = false, at, timeAtRatio, family, learner } = parts
  if (!(cleanTime < cleanest && cleanest < noisiest)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected times that rise from ${cleanTime} (clean) for schedule \`${name}\` but its cleanest time is ${cleanest} and its noisiest is ${noisiest}. Choose a wider range.`,
    )
  }
  const within = (time: number): boolean => time >= cleanest && time <= noisiest
  const clean: Level = Object.freeze({ alpha: 1, sigma: 0, time: cleanTime })
  return {
    name,
    steps: undefined,
    cleanest,
    noisiest,
    clean,
    level(time) {
      if (time === cleanTime) return clean
      if (!(within(time) || (beyondEnds && time > cleanTime && Number.isFinite(time)))) {
        throw expected(`a time from ${cleanest} to ${noisiest}, or ${cleanTime} (clean)`, 'time', time)
      }
      return Object.freeze({ ...at(time), time })
    },
    atRatio(ratio) {
      if (!(ratio > 0 && Number.isFinite(ratio))) throw expected('a finite number above 0', 'sigma / alpha', ratio)
      const exact = timeAtRatio(ratio)
      const time = beyondEnds ? exact : Math.min(Math.max(exact, cleanest), noisiest)
      return Object.freeze({ ...family.fromRatio(ratio), time })
    },
    prior: family.prior,
    ...(learner && { learner }),
  }
}
