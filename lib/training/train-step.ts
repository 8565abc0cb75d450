import type { OpenRun } from './open-run.js'
import type { SpeedEstimator } from './progress.js'

/** One finished update. */
export interface TrainStep {
  /** Finished updates, this one included. */
  readonly step: number
  /** Updates of the whole run; undefined when the budget is in minutes only. */
  readonly totalSteps: number | undefined
  /** Weighted mean loss of the batch. */
  readonly loss: number
  /** L2 norm of the gradient before clipping. */
  readonly gradientNorm: number
  /** In float16: the gradient overflowed, so the weights stayed, and the next update has half the loss scale. */
  readonly skipped: boolean
  readonly learningRate: number
  /** Passes over the data so far, fractions included. */
  readonly epoch: number
  readonly epochs: number | undefined
  /** Used share of the budget, 0 … 1. */
  readonly fraction: number
  readonly imagesPerSecond: number | undefined
  readonly etaSeconds: number | undefined
  /** Examples of the run so far that could not be decoded and were replaced, where the data is read with `corrupt: 'skip'`. */
  readonly skippedExamples: number
  /** Pictures and checkpoints that were written right after this update. */
  readonly written: readonly string[]
}

type Share = Pick<TrainStep, 'totalSteps' | 'epochs' | 'fraction' | 'imagesPerSecond' | 'etaSeconds'>

/** How much of a run's budget is used after `step` updates in so many seconds, and how fast the rest goes. */
export function shareOf(
  { budget, settings, dataSet }: Pick<OpenRun, 'budget' | 'settings' | 'dataSet'>,
  step: number,
  seconds: number,
  speed: SpeedEstimator,
): Share {
  const { epochs, images } = settings.budget
  return {
    totalSteps: budget.totalSteps,
    epochs: epochs ?? (images === undefined ? undefined : images / dataSet.length),
    fraction: budget.fraction(step, seconds),
    imagesPerSecond: speed.imagesPerSecond,
    etaSeconds: budget.secondsLeft(step, seconds, speed.stepsPerSecond),
  }
}
