/** A file's bytes changed as a bad disk, a cut download or an enemy would change them; the same change for the same seed. */

/** Mulberry32: enough for choosing what to break. */
function generator(seed: number): () => number {
  let state = (seed * 0x9e3779b1) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let word = Math.imul(state ^ (state >>> 15), state | 1)
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32
  }
}

type Change = (bytes: Buffer, below: (limit: number) => number) => Buffer

/** Sizes that have broken readers before. */
const numbers = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
]

const changes: readonly Change[] = [
  // One bit, or a few.
  (bytes, below) => {
    for (let left = below(3); left >= 0; left--) {
      const at = below(bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8))
    }
    return bytes
  },
  // Another byte.
  (bytes, below) => {
    bytes[below(bytes.length)] = below(256)
    return bytes
  },
  // Cut off.
  (bytes, below) => bytes.subarray(0, below(bytes.length)),
  // A number somewhere, of 1 to 8 bytes, in either order.
  (bytes, below) => {
    const word = Buffer.alloc(8)
    word.writeBigUInt64LE(numbers[below(numbers.length)] ?? 0n)
    const part = word.subarray(0, 2 ** below(4))
    if (below(4) === 0) part.reverse()
    part.copy(bytes, below(bytes.length))
    return bytes
  },
  // A run of it copied over another place.
  (bytes, below) => {
    const [from, to, length] = [below(bytes.length), below(bytes.length), 1 + below(64)]
    bytes.copy(bytes, to, from, Math.min(from + length, bytes.length))
    return bytes
  },
  // A run of it put in, or taken out.
  (bytes, below) => {
    const [from, to, length] = [below(bytes.length), below(bytes.length), 1 + below(32)]
    return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from, from + length), bytes.subarray(to)])
  },
  (bytes, below) => {
    const [from, length] = [below(bytes.length), 1 + below(32)]
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)])
  },
]

/** Changed in one to three ways. */
export function mutated(original: Uint8Array, seed: number): Buffer {
  const random = generator(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  let bytes = Buffer.from(original)
  for (let left = below(3); left >= 0 && bytes.length > 0; left--) {
    const change = changes[below(changes.length)]
    if (change) bytes = Buffer.from(change(bytes, below))
  }
  return bytes
}
