/**
 * The few numbers of a diffusion process that training finds beside the network's weights: how large the loss was at each time, how
 * uncertain a level is, the parameters of a schedule. They live here, in float64, and see every update when it is done; the rows
 * of the next are made with what they then know.
 */
import type { Row } from '../../native/binding.js'
import type { Level } from '../schedule.js'

/** An update that was made, example by example in the order of its batch. */
export interface Observation {
  /** That of the network in this update. */
  readonly learningRate: number
  readonly times: Float64Array
  /** The factor by which the time sampler counts each example's loss. */
  readonly scales: Float64Array
  /** N × `rowFields`, as the update had them: `scales` are in the weights. */
  readonly rows: Float64Array
  /** Unweighted loss of each example, a mean over its elements. */
  readonly losses: Float64Array
  /** Unweighted bound of each example, nats per element; NaN where a row has none. */
  readonly bounds: Float64Array
  /** N × `rowFields`: derivatives of the batch's loss by each number of each row; null unless somebody asked. */
  readonly rowGradients: Float64Array | null
  /** The row of any level, without a time sampler's factor. */
  rowOf(level: Level): Row
  /** How often each 8-bit value occurs in the images: 256 shares that add up to 1. */
  values(): Float64Array
}

/** Something that learns. Its numbers travel in checkpoints as float64, so that a run goes on bit for bit. */
export interface Learner {
  /** What of the process it is: its tensors are named `learned.<name>.<number>`. */
  readonly name: 'schedule' | 'times' | 'weighting'
  /** Whether observations must have row gradients. */
  readonly needsRowGradients: boolean
  /** All that it knows, by name. A restored run writes into these very arrays, then calls `restored`. */
  readonly state: Readonly<Record<string, Float64Array>>
  /** After `state` was written from outside: what was derived from it is stale. */
  restored(): void
  observe(update: Observation): void
  /** What it adds to the loss that the batch reports, by the numbers that the update had. Asked before `observe`. */
  lossOf?(update: Observation): number
}
