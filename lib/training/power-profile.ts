/**
 * Power-function averages and what can be made of them after a run (Karras et al. 2024, arXiv 2312.02696, section 3 and
 * appendix C).
 *
 * The average at step T with exponent gamma weighs the weights of step t by p(t) = (gamma + 1) t^gamma / T^(gamma + 1): its
 * standard deviation is a fixed share of the run so far, its relative deviation. Averages with two deviations, stored now and
 * then, span nearly every other: their sum with least-squares coefficients is the average with another deviation that a run
 * would have kept.
 */
import { DpmError } from '../errors.js'

/** A stored average, or one that is asked for. */
export interface PowerAverage {
  /** Updates that it has seen, at least 1. */
  readonly step: number
  /** Relative standard deviation of its profile. */
  readonly deviation: number
}

/** The deviation of the plain mean (gamma 0); wider profiles there are not. */
export const largestDeviation = 1 / Math.sqrt(12)

/**
 * The exponent gamma of a profile from its relative standard deviation s (equation 126): the largest root of
 * gamma^3 + 7 gamma^2 + (16 - s^-2) gamma + (12 - s^-2) = 0.
 * @param deviation above 0, at most {@link largestDeviation}.
 */
export function powerOf(deviation: number): number {
  const inverse = deviation ** -2
  // Newton's method from above the largest root, where the cubic rises and is convex: it descends to the root.
  let gamma = Math.sqrt(inverse) + 1
  for (let round = 0; round < 100; round++) {
    const value = ((gamma + 7) * gamma + 16 - inverse) * gamma + 12 - inverse
    const next = gamma - value / ((3 * gamma + 14) * gamma + 16 - inverse)
    if (!(next < gamma)) break
    gamma = next
  }
  return gamma
}

/** The relative standard deviation of a profile from its exponent (equation 123): sqrt((gamma+1) / ((gamma+2)^2 (gamma+3))). */
export function deviationOf(gamma: number): number {
  return Math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))
}

/**
 * The integral of the product of two profiles (equation 151):
 * (a+1) (b+1) min^(a+b+1) / ((a+b+1) S^(a+1) T^(b+1)) with exponents a, b, steps S, T and the lesser of them.
 */
export function innerProduct(one: PowerAverage, other: PowerAverage): number {
  return productOf(profileOf(one), profileOf(other))
}

interface Profile {
  readonly step: number
  readonly gamma: number
}

function profileOf({ step, deviation }: PowerAverage): Profile {
  return { step, gamma: powerOf(deviation) }
}

function productOf(one: Profile, other: Profile): number {
  const [a, b] = [one.gamma, other.gamma]
  // The ratio's power first: S^(a+1) alone leaves the range of numbers.
  const [ratio, power] = one.step < other.step ? [one.step / other.step, b] : [other.step / one.step, a]
  return ((a + 1) * (b + 1) * ratio ** power) / ((a + b + 1) * Math.max(one.step, other.step))
}

export interface Reconstruction {
  /** Of each stored average; their sum is 1. */
  readonly coefficients: readonly number[]
  /** Distance of the sum of profiles from the profile asked for, relative to its length (L2 over steps). */
  readonly profileError: number
}

/**
 * The coefficients with which stored averages come nearest to one that was not kept (algorithm 3).
 * @throws DpmError DPM_INVALID_ARGUMENT when there is none, or one is stored twice.
 */
export function reconstruct(stored: readonly PowerAverage[], wanted: PowerAverage): Reconstruction {
  if (stored.length === 0) throw new DpmError('DPM_INVALID_ARGUMENT', 'Expected at least one stored average.')
  const profiles = stored.map(profileOf)
  const goal = profileOf(wanted)
  const products = profiles.map((one) => profiles.map((other) => productOf(one, other)))
  const towards = profiles.map((one) => productOf(one, goal))
  const solved = solve(products, towards)
  const sum = solved.reduce((total, value) => total + value, 0)
  const coefficients = solved.map((value) => value / sum)
  const length = productOf(goal, goal)
  // |sum c_i p_i - p|^2 = sum c_i (sum_j c_j <p_i, p_j> - 2 <p_i, p>) + <p, p>
  const square = coefficients.reduce((total, c, i) => {
    const joint = coefficients.reduce((inner, d, j) => inner + d * (products[i]?.[j] ?? 0), 0)
    return total + c * (joint - 2 * (towards[i] ?? 0))
  }, length)
  return { coefficients, profileError: Math.sqrt(Math.max(0, square) / length) }
}

/** Solves A x = b by elimination with partial pivoting. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const size = right.length
  const rows = matrix.map((row, i) => [...row, right[i] ?? 0])
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0
  for (let column = 0; column < size; column++) {
    let pivot = column
    for (let i = column + 1; i < size; i++) if (Math.abs(at(i, column)) > Math.abs(at(pivot, column))) pivot = i
    if (at(pivot, column) === 0) {
      throw new DpmError(
        'DPM_INVALID_ARGUMENT',
        'Expected stored averages that differ in step or deviation, but two are the same.',
      )
    }
    const swapped = rows[pivot] ?? []
    rows[pivot] = rows[column] ?? []
    rows[column] = swapped
    for (let i = column + 1; i < size; i++) {
      const factor = at(i, column) / at(column, column)
      const row = rows[i] ?? []
      if (factor !== 0) for (let j = column; j <= size; j++) row[j] = (row[j] ?? 0) - factor * at(column, j)
    }
  }
  const solution = new Array<number>(size).fill(0)
  for (let i = size - 1; i >= 0; i--) {
    const known = solution.reduce((sum, value, j) => (j > i ? sum + at(i, j) * value : sum), 0)
    solution[i] = (at(i, size) - known) / at(i, i)
  }
  return solution
}
