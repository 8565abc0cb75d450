/**
 * What a network is trained on, as numbers: for each example one row that tells native code how to mix image and noise,
 * which label and target the network gets, and how much the example's loss counts.
 */
import { expected } from '../errors.js'
import { type Row, rowFields } from '../native/binding.js'
import { type Bound, noBound } from './bound.js'
import type { Loss } from './loss.js'
import type { Prediction } from './prediction.js'
import type { Level, Schedule } from './schedule.js'
import type { Labeller } from './time-label.js'
import type { TimeDraw, TimeSampler } from './times/time-sampler.js'
import type { Weighting } from './weighting.js'

export interface ObjectiveParts {
  readonly schedule: Schedule
  readonly prediction: Prediction
  readonly weighting: Weighting
  readonly label: Labeller
  readonly times: TimeSampler
  /** Output and target alike at every level when absent. */
  readonly loss?: Loss
  /** No term of the variational bound when absent. */
  readonly bound?: Bound
}

/** What grows where a time is drawn more rarely than others. */
const scaledFields: ReadonlySet<string> = new Set(['weight', 'boundWeight'])

/** The examples of a batch, or of a part of one. */
export interface BatchDraws {
  readonly seed: number
  /** Update of the run, from 0. */
  readonly step: number
  /** The epoch and the data-set index of each example, N each. */
  readonly epochs: ArrayLike<number>
  readonly examples: ArrayLike<number>
  /** Place of the first example in the whole batch, and its size: 0 and N when absent. */
  readonly slot?: number
  readonly slots?: number
}

/** What a batch is trained at. */
export interface BatchRows {
  readonly times: Float64Array<ArrayBuffer>
  /** The time sampler's factor on each example's loss; it is in the rows. */
  readonly scales: Float64Array<ArrayBuffer>
  /** N × `rowFields`, row after row. */
  readonly rows: Float64Array<ArrayBuffer>
}

export interface Objective {
  /** Whether a term of the variational bound teaches the learned variance alone. */
  readonly detachMean: boolean
  /** The row of a time of the schedule. */
  row(time: number): Row
  /** The row of any level. */
  rowOf(level: Level): Row
  /** The time at which an example is trained. */
  timeOf(draw: TimeDraw): number
  /**
   * Times and rows of a batch.
   * @throws DpmError DPM_INVALID_ARGUMENT when epochs and examples differ in length, or hold numbers that are not whole.
   */
  draw(draws: BatchDraws): BatchRows
}

export function createObjective(parts: ObjectiveParts): Objective {
  const { schedule, weighting, times, bound = noBound } = parts
  const known = new Map<number, Row>()
  const staysTheSame = schedule.steps !== undefined && !schedule.learner && !weighting.learner
  const row = (time: number): Row => {
    const made = known.get(time) ?? rowOf(parts, schedule.level(time))
    if (staysTheSame) known.set(time, made)
    return made
  }
  return {
    detachMean: bound.share.detachMean,
    row,
    rowOf: (level) => rowOf(parts, level),
    timeOf: (draw) => times.timeOf(draw),
    draw({ seed, step, epochs, examples, slot = 0, slots = examples.length }) {
      if (epochs.length !== examples.length) {
        throw expected(`one epoch for each of ${examples.length} examples`, 'epochs', epochs.length)
      }
      const drawn = {
        times: new Float64Array(examples.length),
        scales: new Float64Array(examples.length),
        rows: new Float64Array(examples.length * rowFields.length),
      }
      for (let i = 0; i < examples.length; i++) {
        const draw = { seed, step, epoch: epochs[i] ?? 0, example: examples[i] ?? 0, slot: slot + i, slots }
        const time = times.timeOf(draw)
        const fields = row(time)
        const scale = times.weightOf?.(time) ?? 1
        drawn.times[i] = time
        drawn.scales[i] = scale
        rowFields.forEach((field, column) => {
          drawn.rows[i * rowFields.length + column] = scaledFields.has(field) ? scale * fields[field] : fields[field]
        })
      }
      return drawn
    },
  }
}

function rowOf({ prediction, weighting, label, loss, bound = noBound }: ObjectiveParts, level: Level): Row {
  const numbers = prediction.numbers(level)
  return {
    alpha: level.alpha,
    sigma: level.sigma,
    cIn: numbers.cIn,
    cNoise: label(level),
    targetClean: numbers.targetClean,
    targetNoise: numbers.targetNoise,
    weight: bound.share.simple * (loss?.factor?.(level) ?? 1) * weighting(level, numbers),
    ...bound.row(level, numbers),
  }
}
