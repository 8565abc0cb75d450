import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keyedPermutation } from '../../lib/random/permutation.js'

const order = (length: number, seed: number, epoch: number): number[] =>
  Array.from({ length }, (_, position) => keyedPermutation(length, seed, epoch)(position))

describe('keyedPermutation', () => {
  test('is a bijection of 0 … length - 1 for any length, seed and epoch', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 700 }), fc.maxSafeNat(), fc.nat(), (length, seed, epoch) => {
        const sorted = order(length, seed, epoch).sort((a, b) => a - b)
        expect(sorted).toEqual(Array.from({ length }, (_, position) => position))
      }),
    )
  })

  test.each([1, 2, 3, 5, 64, 65])('is a bijection at length %i', (length) => {
    for (let epoch = 0; epoch < 20; epoch++) expect(new Set(order(length, 0, epoch)).size).toBe(length)
  })

  test('stays inside and never repeats far into a set of 2^40', () => {
    const place = keyedPermutation(2 ** 40, 11, 3)
    const places = Array.from({ length: 500 }, (_, i) => place(2 ** 40 - 1 - i * 2_000_000_011))
    expect(new Set(places).size).toBe(500)
    expect(Math.max(...places)).toBeLessThan(2 ** 40)
    expect(Math.min(...places)).toBeGreaterThanOrEqual(0)
  })

  test('changes with the epoch and with the seed', () => {
    expect(order(100, 1, 0)).not.toEqual(order(100, 1, 1))
    expect(order(100, 1, 0)).not.toEqual(order(100, 2, 0))
  })

  test('gives all 24 orders of four things about equally often (chi-squared, 1 in 10,000)', () => {
    const counts = new Map<string, number>()
    for (let epoch = 0; epoch < 4800; epoch++) {
      const key = order(4, 7, epoch).join()
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    const chiSquared = [...counts.values()].reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0)
    expect(counts.size).toBe(24)
    expect(chiSquared).toBeLessThan(56)
  })

  test('sends each position everywhere alike in a set of 50 (chi-squared, 1 in 10,000)', () => {
    const counts = new Array<number>(50).fill(0)
    for (let epoch = 0; epoch < 5000; epoch++) {
      const place = keyedPermutation(50, 3, epoch)(17)
      counts[place] = (counts[place] ?? 0) + 1
    }
    expect(counts.reduce((sum, count) => sum + (count - 100) ** 2 / 100, 0)).toBeLessThan(93)
  })

  test.each([0, -1, 1.5, 2 ** 41])('refuses length %s', (length) => {
    expect(() => keyedPermutation(length, 0, 0)).toThrow(expect.objectContaining({ code: 'DPM_INVALID_ARGUMENT' }))
  })

  test('refuses a position outside', () => {
    expect(() => keyedPermutation(10, 0, 0)(10)).toThrow(
      'Expected a whole number from 0 to 9 for `position` but received 10.',
    )
  })
})
