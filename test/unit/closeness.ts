/** What "equal" means for float64 numbers that were computed in two ways. */
import { expect } from 'vitest'

/** |actual - exact| / |exact|, or |actual| when the exact value is 0. */
export function relativeError(actual: number, exact: number): number {
  return exact === 0 ? Math.abs(actual) : Math.abs(actual - exact) / Math.abs(exact)
}

/** The largest difference over the largest exact value. */
export function maximumError(actual: ArrayLike<number>, exact: ArrayLike<number>): number {
  expect(actual.length).toBe(exact.length)
  let difference = 0
  let size = 0
  for (let i = 0; i < exact.length; i++) {
    const error = Math.abs((actual[i] ?? Number.NaN) - (exact[i] ?? Number.NaN))
    if (Number.isNaN(error)) return Number.NaN
    difference = Math.max(difference, error)
    size = Math.max(size, Math.abs(exact[i] ?? 0))
  }
  return difference / (size || 1)
}
