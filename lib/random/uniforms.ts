/** Keyed numbers between the ends of a range, one per element: dequantisation, and the signs of a trace probe. */
import { expected } from '../errors.js'
import { philoxInto, seedKey, uniformFloat } from './philox.js'
import { type NoisePurpose, noisePurposes } from './purposes.js'

/**
 * Uniforms in (0, 1): elements 0 … count - 1 of one example. Element i is lane i & 3 of block i >>> 2, as normals are.
 * @throws DpmError DPM_INVALID_ARGUMENT for a seed, step, example or count that is not a whole number in range.
 */
export function uniforms(
  seed: number,
  purpose: NoisePurpose,
  step: number,
  example: number,
  count: number,
): Float64Array<ArrayBuffer> {
  for (const [name, value] of Object.entries({ step, example, count })) {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
      throw expected('a whole number from 0 to 2^32 - 1', name, value)
    }
  }
  const [key0, key1] = seedKey(seed)
  const values = new Float64Array(count)
  const words = new Uint32Array(4)
  for (let element = 0; element < count; element += 4) {
    philoxInto(words, element / 4, example, step, noisePurposes[purpose], key0, key1)
    for (let lane = 0; lane < 4; lane++) values[element + lane] = uniformFloat(words[lane] ?? 0)
  }
  return values
}
