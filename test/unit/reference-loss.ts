/** The loss of one example in float64, from its row, image, noise and network output: what native code must arrive at. */
import type { LossName } from '../../lib/diffusion/loss.js'
import type { Row } from '../../lib/native/binding.js'

/** Losses of a difference between output and target. */
type DistanceLoss = Exclude<LossName, 'sliced' | 'cross-entropy'>

export interface LossCase {
  readonly row: Row
  readonly clean: ArrayLike<number>
  readonly noise: ArrayLike<number>
  /** The network's output: as many numbers as the image, or twice as many with a learned variance. */
  readonly output: ArrayLike<number>
  readonly loss?: DistanceLoss
  readonly lossScale?: number
}

export const distances = {
  l2: (d) => d * d,
  l1: (d) => Math.abs(d),
  huber: (d, scale) => (Math.abs(d) <= scale ? (d * d) / 2 : scale * (Math.abs(d) - scale / 2)),
  'pseudo-huber': (d, scale) => Math.sqrt(d * d + scale * scale) - scale,
} as const satisfies Record<DistanceLoss, (difference: number, scale: number) => number>

/** Distance and term of the bound, both unweighted means over elements, and the weighted sum of the two. */
export function referenceLoss({ row, clean, noise, output, loss = 'l2', lossScale = 1 }: LossCase) {
  const elements = clean.length
  let simple = 0
  let bound = 0
  for (let i = 0; i < elements; i++) {
    const difference = (output[i] ?? 0) - row.targetClean * (clean[i] ?? 0) - row.targetNoise * (noise[i] ?? 0)
    simple += distances[loss](difference, lossScale) / elements
    const v = output.length > elements ? (output[elements + i] ?? 0) : -1
    const logVariance = row.boundLow + ((row.boundHigh - row.boundLow) * (v + 1)) / 2
    const off = row.boundScale * difference
    bound +=
      (row.boundDecoder === 1 ? surprise(clean[i] ?? 0, off, logVariance) : divergence(row, off, logVariance)) /
      elements
  }
  const weighted = row.weight * simple + (row.boundWeight === 0 ? 0 : row.boundWeight * bound)
  return { simple, bound, weighted }
}

function divergence({ boundVariance }: Row, off: number, logVariance: number): number {
  const ratio = boundVariance - logVariance
  return 0.5 * (Math.exp(ratio) - 1 - ratio + off * off * Math.exp(-logVariance))
}

function surprise(clean: number, off: number, logVariance: number): number {
  const precision = Math.exp(-logVariance / 2)
  const above = approximate(precision * (1 / 255 - off))
  const below = approximate(precision * (-1 / 255 - off))
  return -Math.log(Math.max(clean < -0.999 ? above : clean > 0.999 ? 1 - below : above - below, 1e-12))
}

function approximate(z: number): number {
  return 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)))
}
