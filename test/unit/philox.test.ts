import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normals, philox4x32, seedKey, uniform, uniformDouble, uniformFloat } from '../../lib/random/philox.js'

describe('Philox-4x32-10', () => {
  // The three 10-round lines for philox4x32 of Random123's file of known answers (tests/kat_vectors).
  test.each([
    {
      counter: [0, 0, 0, 0],
      key: [0, 0],
      words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ] as const)('gives the published answer for counter $counter', ({ counter, key, words }) => {
    expect(philox4x32(counter, key)).toEqual(words)
  })

  test('equals the definition in exact 64-bit integers', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff })
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        expect(philox4x32(counter, key)).toEqual(exactPhilox(counter, key))
      }),
    )
  })
})

describe('seeds', () => {
  test('are split into 32 low bits and the bits above', () => {
    expect(seedKey(0x12345 * 2 ** 32 + 0x89abcdef)).toEqual([0x89abcdef, 0x12345])
  })
  test.each([-1, 0.5, Number.NaN, 2 ** 53])('%s is refused', (seed) => {
    expect(() => seedKey(seed)).toThrow(expect.objectContaining({ code: 'DPM_INVALID_ARGUMENT' }))
  })
})

describe('uniforms', () => {
  test('never reach 0 or 1, and float ones are exact in float32', () => {
    expect(uniformFloat(0)).toBe(2 ** -24)
    expect(uniformFloat(0xffffffff)).toBe(1 - 2 ** -24)
    expect(Math.fround(uniformFloat(0xffffffff))).toBe(uniformFloat(0xffffffff))
    expect(uniformDouble(0, 0)).toBe(2 ** -53)
    expect(uniformDouble(0xffffffff, 0xffffffff)).toBe(1 - 2 ** -53)
  })

  test('are spread evenly: 16 bins of 4096 examples pass a chi-squared test at 1 in 10,000', () => {
    const bins = new Array<number>(16).fill(0)
    for (let example = 0; example < 4096; example++) {
      const bin = Math.floor(16 * uniform(5, 'time', 0, example))
      bins[bin] = (bins[bin] ?? 0) + 1
    }
    const chiSquared = bins.reduce((sum, count) => sum + (count - 256) ** 2 / 256, 0)
    expect(chiSquared).toBeLessThan(44.3)
  })
})

describe('normals', () => {
  test('are Box and Muller on the words of block element >>> 2', () => {
    const [w0, w1, w2, w3] = philox4x32([1, 42, 7, 1], [3, 0])
    const values = normals(3, 'step', 7, 42, 8)
    const unit = (word: number): number => (Math.floor(word / 512) + 0.5) / 8388608
    expect(values[4]).toBe(Math.sqrt(-2 * Math.log(unit(w0))) * Math.cos(2 * Math.PI * unit(w1)))
    expect(values[5]).toBe(Math.sqrt(-2 * Math.log(unit(w0))) * Math.sin(2 * Math.PI * unit(w1)))
    expect(values[6]).toBe(Math.sqrt(-2 * Math.log(unit(w2))) * Math.cos(2 * Math.PI * unit(w3)))
    expect(values[7]).toBe(Math.sqrt(-2 * Math.log(unit(w2))) * Math.sin(2 * Math.PI * unit(w3)))
  })

  test('do not depend on how many are asked for', () => {
    expect(normals(1, 'initial', 0, 9, 7)).toEqual(normals(1, 'initial', 0, 9, 64).slice(0, 7))
  })

  test('differ between purposes, steps, examples and seeds', () => {
    const firsts = [
      normals(1, 'initial', 0, 0, 1),
      normals(1, 'step', 0, 0, 1),
      normals(1, 'initial', 1, 0, 1),
      normals(1, 'initial', 0, 1, 1),
      normals(1 + 2 ** 32, 'initial', 0, 0, 1),
    ].map((values) => values[0])
    expect(new Set(firsts).size).toBe(firsts.length)
  })

  test('have the moments of N(0, 1) within four standard errors', () => {
    const count = 100_000
    const values = normals(2026, 'step', 0, 0, count)
    const moment = (power: number): number => values.reduce((sum, value) => sum + value ** power, 0) / count
    expect(Math.abs(moment(1))).toBeLessThan(4 / Math.sqrt(count))
    expect(Math.abs(moment(2) - 1)).toBeLessThan(4 * Math.sqrt(2 / count))
    expect(Math.abs(moment(3))).toBeLessThan(4 * Math.sqrt(15 / count))
    expect(Math.abs(moment(4) - 3)).toBeLessThan(4 * Math.sqrt(96 / count))
  })
})

/** The paper's round in BigInt: multiply two of the words to 64 bits, cross the halves, add the key. */
function exactPhilox(counter: readonly number[], key: readonly number[]): number[] {
  const mask = 0xffffffffn
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint]
  let [k, l] = key.map(BigInt) as [bigint, bigint]
  for (let round = 0; round < 10; round++) {
    const first = 0xd2511f53n * a
    const second = 0xcd9e8d57n * c
    ;[a, b, c, d] = [(second >> 32n) ^ b ^ k, second & mask, (first >> 32n) ^ d ^ l, first & mask]
    k = (k + 0x9e3779b9n) & mask
    l = (l + 0xbb67ae85n) & mask
  }
  return [a, b, c, d].map(Number)
}
