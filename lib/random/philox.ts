/**
 * Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a random value is a function of a
 * counter and a key, so there is no generator state to save, and no order in which values must be drawn.
 *
 * The house's counter is [block, example, step or epoch, purpose] and its key is the seed: element i of an example is lane
 * i & 3 of block i >>> 2. `native/engine/philox.h` has the same convention, and a test compares the two.
 */
import { expected } from '../errors.js'
import { type NoisePurpose, noisePurposes } from './purposes.js'

export type PhiloxCounter = readonly [number, number, number, number]
export type PhiloxKey = readonly [number, number]

const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
/** Golden ratio and sqrt(3) - 1: how the key advances from round to round. */
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85
const ROUNDS = 10
const TWO_32 = 2 ** 32

/** Four random words of 32 bits. All numbers, in and out, are unsigned 32-bit integers. */
export function philox4x32(counter: PhiloxCounter, key: PhiloxKey): [number, number, number, number] {
  const words = new Uint32Array(4)
  philoxInto(words, counter[0], counter[1], counter[2], counter[3], key[0], key[1])
  return Array.from(words) as [number, number, number, number]
}

/** The same into four words that the caller owns: no allocation, for loops over many blocks. */
export function philoxInto(
  words: Uint32Array,
  counter0: number,
  counter1: number,
  counter2: number,
  counter3: number,
  key0: number,
  key1: number,
): void {
  let [c0, c1, c2, c3, k0, k1] = [counter0 >>> 0, counter1 >>> 0, counter2 >>> 0, counter3 >>> 0, key0 | 0, key1 | 0]
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0)
    const low0 = Math.imul(MULTIPLIER_0, c0)
    const high1 = multiplyHigh(MULTIPLIER_1, c2)
    const low1 = Math.imul(MULTIPLIER_1, c2)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1 >>> 0
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0 >>> 0
    k0 = (k0 + WEYL_0) | 0
    k1 = (k1 + WEYL_1) | 0
  }
  words[0] = c0
  words[1] = c1
  words[2] = c2
  words[3] = c3
}

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers, from products of halves that doubles hold exactly. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const cross = aLow * bHigh + (middle & 0xffff)
  return (aHigh * bHigh + (middle >>> 16) + (cross >>> 16)) >>> 0
}

/**
 * The key that a seed stands for: its low 32 bits and the bits above them.
 * @throws DpmError DPM_INVALID_ARGUMENT unless the seed is a whole number from 0 to 2^53 - 1.
 */
export function seedKey(seed: number): PhiloxKey {
  if (!Number.isSafeInteger(seed) || seed < 0) throw expected('a whole number from 0 to 2^53 - 1', 'seed', seed)
  return [seed % TWO_32, Math.floor(seed / TWO_32)]
}

/** A float32-exact uniform in (0, 1) from one word: 23 bits and a half, so neither end is reached. */
export function uniformFloat(word: number): number {
  return ((word >>> 9) + 0.5) * 2 ** -23
}

/** A float64-exact uniform in (0, 1) from two words: 52 bits and a half (a 53rd bit would round up to 1). */
export function uniformDouble(high: number, low: number): number {
  return ((high >>> 6) * 2 ** 26 + (low >>> 6) + 0.5) * 2 ** -52
}

/**
 * One uniform in (0, 1) per (seed, purpose, epoch or step, example): training times, flips, dropped conditions.
 * @throws DpmError DPM_INVALID_ARGUMENT for a seed, step or example that is not a whole number in range.
 */
export function uniform(seed: number, purpose: NoisePurpose, step: number, example: number): number {
  const words = philox4x32([0, word32(example, 'example'), word32(step, 'step'), noisePurposes[purpose]], seedKey(seed))
  return uniformDouble(words[0], words[1])
}

/**
 * Standard normals: elements 0 … count - 1 of one example, by Box and Muller on pairs of words.
 * @param step the step of a sampler, or the epoch of training.
 * @throws DpmError DPM_INVALID_ARGUMENT for a seed, step, example or count that is not a whole number in range.
 */
export function normals(
  seed: number,
  purpose: NoisePurpose | number,
  step: number,
  example: number,
  count: number,
): Float64Array<ArrayBuffer> {
  if (!Number.isSafeInteger(count) || count < 0) throw expected('a whole number of elements', 'count', count)
  const [key0, key1] = seedKey(seed)
  const purposeWord = typeof purpose === 'number' ? word32(purpose, 'purpose') : noisePurposes[purpose]
  const exampleWord = word32(example, 'example')
  const stepWord = word32(step, 'step')
  const values = new Float64Array(count)
  const words = new Uint32Array(4)
  for (let element = 0; element < count; element += 4) {
    philoxInto(words, element / 4, exampleWord, stepWord, purposeWord, key0, key1)
    for (let pair = 0; pair < 4; pair += 2) {
      const radius = Math.sqrt(-2 * Math.log(uniformFloat(words[pair] ?? 0)))
      const angle = 2 * Math.PI * uniformFloat(words[pair + 1] ?? 0)
      // Writes past the end of a typed array are dropped, which is what the last block wants.
      values[element + pair] = radius * Math.cos(angle)
      values[element + pair + 1] = radius * Math.sin(angle)
    }
  }
  return values
}

function word32(value: number, name: string): number {
  if (!Number.isInteger(value) || value < 0 || value >= TWO_32)
    throw expected('a whole number from 0 to 2^32 - 1', name, value)
  return value
}
