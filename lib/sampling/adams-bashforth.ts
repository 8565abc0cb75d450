/**
 * Adams–Bashforth for even steps: by how much each of the last slopes, the newest first, counts in the mean slope of the
 * next step. Order k is exact for slopes that are polynomials of degree k - 1.
 */
export const adamsBashforth = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
] as const satisfies readonly (readonly number[])[]
