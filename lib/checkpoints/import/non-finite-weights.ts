/** Weights that are NaN or infinite: what diverged training leaves. They are counted while they are converted. */
import { DpmError } from '../../errors.js'

/** So many tensors are named. */
const named = 8

export class NonFiniteWeights {
  readonly #counts = new Map<string, number>()
  #elements = 0

  /** @param name of the tensor in the checkpoint. */
  look(name: string, values: Float32Array): void {
    let count = 0
    for (const value of values) if (!Number.isFinite(value)) count++
    if (count > 0) this.#counts.set(name, count)
    this.#elements += values.length
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0
  }

  /** `12 in network.input.weight, 3 in …`, the most first. */
  get text(): string {
    const ordered = [...this.#counts].sort(([, a], [, b]) => b - a)
    const total = ordered.reduce((sum, [, count]) => sum + count, 0)
    const few = ordered.slice(0, named).map(([name, count]) => `${count} in ${name}`)
    const more = ordered.length > named ? ` and more in ${ordered.length - named} others` : ''
    return `${total} of ${this.#elements} weights are NaN or infinite as float32: ${few.join(', ')}${more}`
  }

  error(path: string): DpmError {
    return new DpmError(
      'DPM_NON_FINITE',
      `${JSON.stringify(path)} was not imported: ${this.text}. Such a network gives no images. Use another copy of the weights, or an earlier one; ` +
        'to have these all the same, say `--allow-non-finite` (`allowNonFinite`).',
      { details: { path, tensors: Object.fromEntries(this.#counts) } },
    )
  }
}
