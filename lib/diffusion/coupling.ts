/**
 * Which noise an image is mixed with. Every coupling leaves images and noise as they are one by one; what changes is who meets whom.
 *
 * `independent`: each image its own noise (Lipman et al. 2022, arXiv 2210.02747; diffusion everywhere).
 * `optimal-transport`: the noises of a batch are dealt out to its images so that the sum of squared distances is least (OT-CFM:
 * Tong et al. 2023, arXiv 2302.00482, §4.2; Pooladian et al. 2023, arXiv 2304.14772): paths cross less, so they are straighter. Who
 * meets whom then depends on the images, and with them on their classes: a class's noise is no longer normal, though sampling will draw it
 * so (Cheng and Schwing 2025, arXiv 2503.10636).
 */
import { assignment } from './assignment.js'

/** From squared distances, image n to noise m at n · size + m: the noise of each image. It pauses where another may have a turn. */
export type Pairing = (costs: ArrayLike<number>, size: number) => Generator<void, Int32Array, undefined>

export const couplings = {
  independent: undefined,
  'optimal-transport': assignment,
} as const satisfies Record<string, Pairing | undefined>
export type Coupling = keyof typeof couplings
