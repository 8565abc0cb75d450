/**
 * Importance sampling of times by the loss's second moment (Nichol and Dhariwal 2021, arXiv 2102.09672, §3.3, eq. 12; constants of
 * their code): with the last losses L of each of T times,
 *
 *     p_t = (1 - uniformShare) sqrt(mean L_t²) / sum over times + uniformShare / T,   factor 1 / (T p_t) on the loss
 *
 * so that its expectation is that of even times, and its variance as small as can be. Until every time has its full history, times
 * are even. Keyed by (seed, epoch, example), and by the losses that were seen.
 */
import * as z from 'zod'
import { rowFields } from '../../native/binding.js'
import { uniform } from '../../random/philox.js'
import type { Numbers } from '../learned/adam.js'
import type { Learner, Observation } from '../learned/learner.js'
import { requireDiscrete } from '../schedule.js'
import { defineTimeSampler, timeOfShare } from './time-sampler.js'

export const lossSecondMomentTimes = defineTimeSampler({
  name: 'loss-second-moment',
  options: z.strictObject({
    kind: z.literal('loss-second-moment'),
    history: z.int().min(1).max(10_000).default(10).describe('losses of each time that are remembered'),
    uniformShare: z.number().gt(0).max(1).default(0.001).describe('share of draws that are even over the times'),
  }),
  create({ history, uniformShare }, schedule) {
    const discrete = requireDiscrete(schedule, 'The times "loss-second-moment"')
    const learner = new LossHistory(discrete.steps, history, uniformShare)
    return {
      name: 'loss-second-moment',
      learner,
      timeOf: ({ seed, epoch, example }) => {
        const share = uniform(seed, 'time', epoch, example)
        return learner.probabilities ? learner.timeOf(share) : timeOfShare(discrete, share)
      },
      weightOf: (time) =>
        learner.probabilities ? 1 / (discrete.steps * (learner.probabilities[time] ?? Number.NaN)) : 1,
    }
  },
})

const weightColumn = rowFields.indexOf('weight')
const boundColumn = rowFields.indexOf('boundWeight')

class LossHistory implements Learner {
  readonly name = 'times'
  readonly needsRowGradients = false
  readonly state: Numbers
  /** Steps × history, of each time the oldest first. */
  readonly #losses: Float64Array
  readonly #counts: Float64Array
  readonly #history: number
  readonly #uniformShare: number
  #derived: { readonly probabilities: Float64Array; readonly sums: Float64Array } | undefined
  #isStale = true

  constructor(steps: number, history: number, uniformShare: number) {
    this.#losses = new Float64Array(steps * history)
    this.#counts = new Float64Array(steps)
    this.state = { losses: this.#losses, counts: this.#counts }
    this.#history = history
    this.#uniformShare = uniformShare
  }

  /** Of each time; undefined while they are even. */
  get probabilities(): Float64Array | undefined {
    return this.#current()?.probabilities
  }

  /** The time whose probabilities, added up, a share 0 < u < 1 falls into. */
  timeOf(share: number): number {
    const sums = this.#current()?.sums ?? Float64Array.of(1)
    const place = share * (sums.at(-1) ?? 1)
    let [low, high] = [0, sums.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) > place) high = middle
      else low = middle + 1
    }
    return low
  }

  restored(): void {
    this.#isStale = true
  }

  observe({ times, scales, rows, losses, bounds }: Observation): void {
    times.forEach((time, n) => {
      const at = (column: number): number => rows[n * rowFields.length + column] ?? 0
      const bound = at(boundColumn) === 0 ? 0 : at(boundColumn) * (bounds[n] ?? 0)
      this.#remember(time, (at(weightColumn) * (losses[n] ?? 0) + bound) / (scales[n] ?? 1))
    })
    this.#isStale = true
  }

  #remember(time: number, loss: number): void {
    const history = this.#history
    const count = this.#counts[time] ?? 0
    if (count === history) this.#losses.copyWithin(time * history, time * history + 1, (time + 1) * history)
    this.#losses[time * history + Math.min(count, history - 1)] = loss
    this.#counts[time] = Math.min(count + 1, history)
  }

  #current(): { readonly probabilities: Float64Array; readonly sums: Float64Array } | undefined {
    if (this.#isStale) this.#derived = this.#derive()
    this.#isStale = false
    return this.#derived
  }

  #derive() {
    const history = this.#history
    if (this.#counts.some((count) => count < history)) return undefined
    const moments = this.#counts.map((_, time) => {
      const ofTime = this.#losses.subarray(time * history, (time + 1) * history)
      return Math.sqrt(ofTime.reduce((sum, loss) => sum + loss * loss, 0) / history)
    })
    const total = moments.reduce((sum, moment) => sum + moment, 0)
    // Losses that are all 0 tell no time from another.
    if (!(total > 0)) return undefined
    const probabilities = moments.map(
      (moment) => ((1 - this.#uniformShare) * moment) / total + this.#uniformShare / moments.length,
    )
    let sum = 0
    return { probabilities, sums: probabilities.map((one) => (sum += one)) }
  }
}
