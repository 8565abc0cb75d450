/** The keys of the noise that each image of a batch is mixed with, where it is not its own. */
import type { Batch } from '../datasets/batches.js'
import { type Coupling, couplings, type Pairing } from '../diffusion/coupling.js'
import { call } from '../native/call.js'
import type { Tensor } from '../tensor/tensor.js'

export interface NoiseKeys {
  readonly examples: Float64Array
  readonly epochs: Float64Array
}

/**
 * The whole batch is paired at once, whatever its parts.
 * @param images N×C×H×W
 * @returns null where each image has its own noise.
 */
export async function pairNoise(
  coupling: Coupling,
  images: Tensor,
  { indices, epochs }: Pick<Batch, 'indices' | 'epochs'>,
  seed: number,
): Promise<NoiseKeys | null> {
  const pairing: Pairing | undefined = couplings[coupling]
  if (!pairing) return null
  const costs = await call(undefined, (binding) => binding.pairingCosts(images.handle, indices, epochs, seed))
  const noises = pairing(costs, indices.length)
  return {
    examples: Float64Array.from(noises, (noise) => indices[noise] ?? 0),
    epochs: Float64Array.from(noises, (noise) => epochs[noise] ?? 0),
  }
}
