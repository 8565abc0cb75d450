/**
 * What a network is trained on, as numbers: for each example one row that tells native code how to mix image and noise,
 * which label and target the network gets, and how much the example's loss counts.
 */
import { expected } from '../errors.js'
import { type Row, rowFields } from '../native/binding.js'
import type { Prediction } from './prediction.js'
import type { Schedule } from './schedule.js'
import { createLabeller, type TimeLabel } from './time-label.js'
import type { TimeSampler } from './times/time-sampler.js'
import { uniformTimes } from './times/uniform.js'
import type { Weighting } from './weighting.js'

export interface ObjectiveParts {
  readonly schedule: Schedule
  readonly prediction: Prediction
  readonly weighting: Weighting
  readonly timeLabel: TimeLabel
  /** Uniform when absent. */
  readonly times?: TimeSampler
}

export interface Objective {
  /** The row of a time 0 … T-1. */
  row(time: number): Row
  /** The time at which an example is trained in an epoch. */
  timeOf(seed: number, epoch: number, example: number): number
  /**
   * The rows of a batch: N × `rowFields`, row after row.
   * @param epochs the epoch of each example, N
   * @param examples the data-set index of each example, N
   * @throws DpmError DPM_INVALID_ARGUMENT when the two lists differ in length, or hold numbers that are not whole.
   */
  rows(epochs: Float64Array, examples: Float64Array, seed: number): Float64Array<ArrayBuffer>
}

export function createObjective(parts: ObjectiveParts): Objective {
  const { schedule, times = uniformTimes } = parts
  const width = rowFields.length
  const table = new Float64Array(schedule.steps * width)
  for (let time = 0; time < schedule.steps; time++) {
    const row = rowAt(parts, time)
    rowFields.forEach((field, column) => {
      table[time * width + column] = row[field]
    })
  }
  const timeOf: Objective['timeOf'] = (seed, epoch, example) => times.timeOf(seed, epoch, example, schedule.steps)
  return {
    row: (time) => rowAt(parts, time),
    timeOf,
    rows(epochs, examples, seed) {
      if (epochs.length !== examples.length) {
        throw expected(`one epoch for each of ${examples.length} examples`, 'epochs', epochs.length)
      }
      const rows = new Float64Array(examples.length * width)
      examples.forEach((example, index) => {
        const time = timeOf(seed, epochs[index] ?? 0, example)
        rows.set(table.subarray(time * width, (time + 1) * width), index * width)
      })
      return rows
    },
  }
}

function rowAt({ schedule, prediction, weighting, timeLabel }: ObjectiveParts, time: number): Row {
  const level = schedule.level(time)
  const numbers = prediction.numbers(level)
  return {
    alpha: level.alpha,
    sigma: level.sigma,
    cIn: numbers.cIn,
    cNoise: createLabeller(timeLabel, schedule.steps)(level),
    targetClean: numbers.targetClean,
    targetNoise: numbers.targetNoise,
    weight: weighting(level, numbers),
  }
}
