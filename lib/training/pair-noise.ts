/** The keys of the noise that each image of a batch is mixed with, where it is not its own. */
import { setImmediate as turn } from 'node:timers/promises'
import type { Batch } from '../datasets/batches.js'
import { type Coupling, couplings, type Pairing } from '../diffusion/coupling.js'
import { throwIfAborted } from '../errors.js'
import { call } from '../native/call.js'
import { Tensor } from '../tensor/tensor.js'

export interface NoiseKeys {
  readonly examples: Float64Array
  readonly epochs: Float64Array
}

/** What of a batch decides who meets whom: its images as bytes, and the keys of their noise. */
export type PairedBatch = Pick<Batch, 'images' | 'indices' | 'epochs'>

/** Squared distances from every image to every noise: see `Pairing`. */
export type PairingCosts = (batch: PairedBatch) => Promise<ArrayLike<number>>

/** Milliseconds that the event loop waits for a pairing at most, but for the last row. */
const patience = 5

/** Pairs the batches of a run one after the other, so that whoever waits for them goes on in their order. */
export class NoisePairing {
  readonly #pairing: Pairing
  readonly #costs: PairingCosts
  #before: Promise<unknown> = Promise.resolve()

  constructor(pairing: Pairing, costs: PairingCosts) {
    this.#pairing = pairing
    this.#costs = costs
  }

  /** The whole batch is paired at once, whatever its parts. @throws DpmError DPM_ABORTED */
  keysOf(batch: PairedBatch, signal?: AbortSignal): Promise<NoiseKeys> {
    const keys = this.#before.then(() => this.#pair(batch, signal))
    // One that fails does not keep the next from its turn.
    this.#before = keys.catch(() => undefined)
    return keys
  }

  async #pair(batch: PairedBatch, signal: AbortSignal | undefined): Promise<NoiseKeys> {
    const { indices, epochs } = batch
    const work = this.#pairing(await this.#costs(batch), indices.length)
    for (let since = performance.now(); ; ) {
      throwIfAborted(signal, 'Training')
      const { done, value: noises } = work.next()
      if (done) {
        return {
          examples: Float64Array.from(noises, (noise) => indices[noise] ?? 0),
          epochs: Float64Array.from(noises, (noise) => epochs[noise] ?? 0),
        }
      }
      if (performance.now() - since < patience) continue
      await turn()
      since = performance.now()
    }
  }
}

/**
 * @param shape C×H×W of the images
 * @returns undefined where each image has its own noise.
 */
export function createPairing(coupling: Coupling, shape: readonly number[], seed: number): NoisePairing | undefined {
  const pairing: Pairing | undefined = couplings[coupling]
  return (
    pairing &&
    new NoisePairing(pairing, async ({ images, indices, epochs }) => {
      using whole = Tensor.from(images, [indices.length, ...shape])
      return await call(undefined, (binding) => binding.pairingCosts(whole.handle, indices, epochs, seed))
    })
  )
}
