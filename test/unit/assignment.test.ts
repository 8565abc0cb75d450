import { describe, expect, test } from 'vitest'
import { assignment as pausing } from '../../lib/diffusion/assignment.js'
import { normals } from '../../lib/random/philox.js'

/** The assignment without its pauses. */
function assignment(costs: ArrayLike<number>, size: number): Int32Array {
  const work = pausing(costs, size)
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}

const total = (costs: ArrayLike<number>, columns: ArrayLike<number>): number =>
  Array.from(columns).reduce((sum, column, row) => sum + (costs[row * columns.length + column] ?? Number.NaN), 0)

function* permutations(items: readonly number[]): Generator<number[]> {
  if (items.length === 0) yield []
  for (const [i, item] of items.entries()) {
    for (const rest of permutations(items.toSpliced(i, 1))) yield [item, ...rest]
  }
}

describe('the cheapest assignment', () => {
  test.each([1, 2, 3, 4, 5, 6])('is the best of all %d! permutations, ties and negative costs included', (size) => {
    for (let trial = 0; trial < 40; trial++) {
      const costs = normals(trial, 'coupling', size, 0, size * size).map((value) =>
        trial % 2 ? value : Math.round(2 * value),
      )
      const columns = assignment(costs, size)
      expect([...columns].toSorted()).toEqual(Array.from({ length: size }, (_, i) => i))
      const all = [...permutations(Array.from({ length: size }, (_, i) => i))]
      const best = Math.min(...all.map((one) => total(costs, one)))
      expect(total(costs, columns)).toBeCloseTo(best, 12)
    }
  })

  test('of squared distances on a line pairs 256 points by rank', () => {
    const size = 256
    const a = normals(1, 'coupling', 0, 0, size)
    const b = normals(2, 'coupling', 0, 0, size)
    const costs = Float64Array.from({ length: size * size }, (_, i) => {
      return ((a[Math.floor(i / size)] ?? 0) - (b[i % size] ?? 0)) ** 2
    })
    const columns = assignment(costs, size)
    const ranks = (values: Float64Array): number[] => {
      const sorted = values.toSorted()
      return Array.from(values, (value) => sorted.indexOf(value))
    }
    const rank = ranks(b)
    expect(Array.from(columns, (column) => rank[column])).toEqual(ranks(a))
  })

  test('is proved by potentials: no cycle of two is cheaper at size 64', () => {
    const size = 64
    const costs = normals(5, 'coupling', 0, 0, size * size)
    const columns = assignment(costs, size)
    const cost = (row: number, column: number): number => costs[row * size + column] ?? 0
    for (const [i, p] of columns.entries()) {
      for (const [j, q] of columns.entries()) {
        expect(cost(i, p) + cost(j, q)).toBeLessThanOrEqual(cost(i, q) + cost(j, p) + 1e-12)
      }
    }
  })

  test('pauses after every row', () => {
    const pauses = [...pausing(normals(5, 'coupling', 0, 0, 100), 10)]
    expect(pauses).toHaveLength(10)
  })

  test('refuses what has no answer', () => {
    expect(() => assignment([1, 2, 3], 2)).toThrow('Expected 2 × 2 costs for `costs` but received 3.')
    expect(() => assignment([1, 2, Number.NaN, Number.NaN], 2)).toThrow('Expected finite costs but row 1')
  })
})
