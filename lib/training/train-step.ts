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
  /** Pictures and checkpoints that were written right after this update. */
  readonly written: readonly string[]
}
