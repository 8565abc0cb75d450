/** Which of a schedule's T times a run of fewer steps visits. Each spacing is one file beside this one. */

/**
 * @param total T, the number of the schedule's times
 * @param count how many to visit: 2 … T (a single step always starts at T - 1)
 * @returns `count` different times 0 … T-1, the largest (noisiest) first
 */
export type Spacing = (total: number, count: number) => number[]

/** Rounds halves to even, as NumPy does: spacings of published code depend on it. */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}

/** `count` times from the i-th smallest, i = 0 … count - 1, largest first. */
export function descending(count: number, time: (i: number) => number): number[] {
  return Array.from({ length: count }, (_, position) => time(count - 1 - position))
}
