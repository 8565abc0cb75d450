/**
 * How the difference d between the network's output and its target counts, as a mean over elements:
 *
 *     l2            d²
 *     l1            |d|
 *     huber         d² / 2 up to |d| = scale, scale (|d| - scale / 2) beyond (Huber 1964)
 *     pseudo-huber  sqrt(d² + scale²) - scale (Charbonnier; Song and Dhariwal 2023, arXiv 2310.14189, §3.3, there of the whole image's norm)
 *
 * `cross-entropy` has another target: -log softmax(output)[class] of a classifier of noisy images (Dhariwal and Nichol 2021, arXiv
 * 2105.05233, §4).
 *
 * `sliced` has no target: sliced score matching in its variance-reduced form (Song et al. 2019, arXiv 1905.07088, eq. 8),
 * (v'∇(v's) + ½ |s|²) / elements of the score s = -F / sigma, with normals v. Its expectation is half the score's mean squared error, less
 * a constant. Rows hold 2 sigma² for it, so that its gradient has the expectation of that of `l2` on the noise.
 */
import { DpmError } from '../errors.js'
import type { Level } from './schedule.js'

export interface Loss {
  /** Factor on an example's loss beside its weight; 1 when absent. */
  readonly factor?: (level: Level) => number
  /** The only prediction that it knows; any when absent. */
  readonly prediction?: string
}

export const losses = {
  l2: {},
  l1: {},
  huber: {},
  'pseudo-huber': {},
  'cross-entropy': {},
  sliced: { prediction: 'noise', factor: ({ sigma }) => 2 * sigma * sigma },
} as const satisfies Record<string, Loss>
export type LossName = keyof typeof losses

/** @throws DpmError DPM_INVALID_OPTION when the loss cannot be taken of this prediction. */
export function createLoss(name: LossName, prediction: string): Loss {
  const loss: Loss = losses[name]
  if (loss.prediction === undefined || loss.prediction === prediction) return loss
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `The loss "${name}" needs the prediction "${loss.prediction}", but the prediction is "${prediction}". Choose another of the two.`,
  )
}
