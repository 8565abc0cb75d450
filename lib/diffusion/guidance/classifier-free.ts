/**
 * Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598) with F = F_null + scale · (F_given - F_null):
 * scale 1 is the conditional network alone, 0 the unconditional one, and above 1 moves away from the unconditional. (The
 * paper's w is scale - 1.)
 */
import { expected } from '../../errors.js'
import { uniform } from '../../random/philox.js'

/** Whose output counts, and how much. Native code knows both by these names. */
export type GuidanceCondition = 'given' | 'null'

/** The evaluations that guidance needs, with their coefficients; those that would count nothing are left out. */
export function classifierFree(scale: number): readonly (readonly [number, GuidanceCondition])[] {
  if (!Number.isFinite(scale)) throw expected('a finite number', 'guidance', scale)
  if (scale === 1) return [[1, 'given']]
  if (scale === 0) return [[1, 'null']]
  return [
    [scale, 'given'],
    [1 - scale, 'null'],
  ]
}

/**
 * Whether an example is trained without its class in this epoch, so that the network also learns the unconditional
 * prediction.
 * @param probability 0 … 1; 0.1 in the paper's best runs
 */
export function conditionDropped(seed: number, epoch: number, example: number, probability: number): boolean {
  return uniform(seed, 'condition', epoch, example) < probability
}
