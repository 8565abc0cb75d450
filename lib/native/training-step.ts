/** What a training step is given at the seam to native code, and what it reports. */
import type { TensorHandle } from './handles.js'

/** One micro-batch of a training step. Rows are numbers per example, see {@link rowFields}. */
export interface NativeBatch {
  /** N×C×H×W, uint8 (scaled natively to [-1, 1]) or float32 (taken as it is). */
  readonly images: TensorHandle
  /**
   * N class indices, or null when the network has no classes. The network's null class is its `classes` setting. A classifier
   * is not told them: they are what it should say.
   */
  readonly classes: Int32Array | null
  /** N×K×H×W float32, what the network sees beside x, as super-resolution does; null when it takes none. */
  readonly condition: TensorHandle | null
  /** N × rowFields.length numbers, row after row. */
  readonly rows: Float64Array
  /** N data-set indices and the epoch of each: together they key the noise and the dropout. */
  readonly examples: Float64Array
  readonly epochs: Float64Array
  /**
   * Keys of the noise where an image is paired with the noise of another example, as in minibatch optimal transport; null
   * for both where the noise is keyed by `examples` and `epochs`.
   */
  readonly noiseExamples: Float64Array | null
  readonly noiseEpochs: Float64Array | null
  /**
   * N × `forwardStepFields` of lib/diffusion/forward-step.ts where the network learns the forward step; null where the process is
   * the schedule's alone.
   */
  readonly forwardStep: Float64Array | null
  readonly seed: number
  /** Divides the summed loss: the size of the whole batch, of which this may be a part. */
  readonly total: number
  readonly loss: NativeLoss
  /** Positive: where Huber's loss bends, or the scale of the pseudo-Huber loss; the others do not read it. */
  readonly lossScale: number
  /** Whether the bound teaches the learned variance alone: its gradient does not reach the first half of the output. */
  readonly detachMean: boolean
  /** Whether the report has the loss's derivatives by the rows. */
  readonly rowGradients: boolean
  /**
   * Updates that must have been made when this one begins, or it is refused: one that was queued behind another that failed is
   * never made in its place. Null or absent where the order does not matter: a step that is looked at alone.
   */
  readonly follows?: number | null
  /** Whether the gradient begins anew: what a cancelled batch left is dropped. */
  readonly first: boolean
  /** What the optimizer does after this micro-batch; null only accumulates the gradient. */
  readonly update: NativeUpdate | null
}

/**
 * What is counted of the output's difference d from the target, as a mean over elements: d², |d|, Huber's loss (d²/2 up to
 * `lossScale`, a line beyond) or sqrt(d² + lossScale²) - lossScale (Song and Dhariwal 2023, arXiv 2310.14189 §3.3). `sliced`
 * has no target: it is sliced score matching (Song et al. 2019, arXiv 1905.07088 eq. 8) of the score -output / sigma,
 * (v'∇ₓ(v's) + ½|s|²) / elements with normals v keyed by example and epoch; it takes no bound and no row gradients.
 * `cross-entropy` is -log softmax(output)[class] of a classifier, whose `classes` are its targets; it too takes neither.
 */
export type NativeLoss = 'l2' | 'l1' | 'huber' | 'pseudo-huber' | 'sliced' | 'cross-entropy'

export interface NativeUpdate {
  readonly learningRate: number
  /** 1-based count of updates, for Adam's bias correction. */
  readonly step: number
  /** One decay per averaged copy. */
  readonly averagingDecays: readonly number[]
}

/**
 * The meaning of a training row's columns, in order. An example counts weight · loss + boundWeight · bound, where the loss
 * is of F, the output's first C channels, and the bound is a term of the variational bound in nats per element, left out
 * where boundWeight is 0:
 *
 * logvar = boundLow + (boundHigh - boundLow) · (v + 1) / 2 with v the second C channels (boundLow without these), and
 * - boundDecoder 0: the divergence ½ (-1 + logvar - boundVariance + e^(boundVariance - logvar)
 *   + boundScale² (F - target)² e^-logvar) of the true posterior, of log variance boundVariance, from the model's;
 * - boundDecoder 1: -log of the discretised Gaussian of mean x_0 + boundScale (F - target) and that logvar at the image.
 */
export const rowFields = [
  'alpha',
  'sigma',
  'cIn',
  'cNoise',
  'targetClean',
  'targetNoise',
  'weight',
  'boundScale',
  'boundVariance',
  'boundLow',
  'boundHigh',
  'boundWeight',
  'boundDecoder',
] as const
export type Row = Readonly<Record<(typeof rowFields)[number], number>>

export interface NativeStepReport {
  /** Weighted mean loss of this micro-batch's part; parts of one batch add up to the batch's loss. */
  readonly loss: number
  /** Global L2 norm of the gradient before clipping; NaN when this micro-batch did not update. */
  readonly gradientNorm: number
  /** Unweighted loss of each example (mean over its elements). */
  readonly losses: Float64Array
  /** Bound of each example in nats per element, unweighted; NaN where its boundWeight is 0. */
  readonly bounds: Float64Array
  /**
   * N × rowFields.length: the derivative of `loss` by every number of every row, null when not asked for. The columns of a
   * bound that is left out, and boundDecoder, have 0. With `detachMean` the bound counts as if F and the target were
   * constants. Means nothing when not `finite`.
   */
  readonly rowGradients: Float64Array | null
  /** False when loss or gradient is not finite: then nothing was updated. */
  readonly finite: boolean
  /** The gradient overflowed in float16: the update was not made, and the next has half the loss scale. */
  readonly skipped: boolean
  /** Factor on the loss of this update; 1 but in float16. */
  readonly lossScale: number
}
