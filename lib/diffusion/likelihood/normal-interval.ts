/**
 * The logarithm of the probability that a standard normal falls into an interval, to float64's digits also far out in the
 * tails, where the difference of two values of the distribution function would be 0.
 *
 * With Q(z) = erfc(z / sqrt 2) / 2: near 0 by the series of erf whose terms are all positive (Abramowitz and Stegun
 * 1964, 7.1.6), further out by the continued fraction of erfc (7.1.14).
 */

const tailBegins = 2
const smallestTerm = 1e-17

/** log P(low < z < high) of a standard normal; either end may be infinite, and low must be below high. */
export function logNormalInterval(low: number, high: number): number {
  if (!(low < high)) return Number.isNaN(low) || Number.isNaN(high) ? Number.NaN : Number.NEGATIVE_INFINITY
  if (high <= 0) return logNormalInterval(-high, -low)
  if (low < 0) return Math.log((erf(high * Math.SQRT1_2) - erf(low * Math.SQRT1_2)) / 2)
  const nearer = logUpperTail(low)
  const further = logUpperTail(high)
  return nearer + Math.log(-Math.expm1(further - nearer))
}

/** log Q(z), z ≥ 0. */
function logUpperTail(z: number): number {
  const x = z * Math.SQRT1_2
  if (x < tailBegins) return Math.log((1 - erf(x)) / 2)
  return x === Number.POSITIVE_INFINITY ? Number.NEGATIVE_INFINITY : Math.log(scaledErfc(x) / 2) - x * x
}

/** The error function, 2 / sqrt(pi) times the integral of exp(-u²) from 0 to x. */
export function erf(x: number): number {
  if (x < 0) return -erf(-x)
  if (x > 6) return 1
  if (x >= tailBegins) return 1 - Math.exp(-x * x) * scaledErfc(x)
  let term = x
  let sum = x
  for (let n = 1; term > smallestTerm * sum; n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}

/** exp(x²) erfc(x), x ≥ 2: the continued fraction 1 / (x + (1/2) / (x + (2/2) / (x + …))) / sqrt(pi), from its far end. */
function scaledErfc(x: number): number {
  // The terms that float64 needs fall with x²; this many leave an error below 1e-16 at x = 2, the slowest place.
  const terms = Math.ceil(12 + 400 / (x * x))
  let fraction = x
  for (let n = terms; n > 0; n--) fraction = x + n / 2 / fraction
  return 1 / (fraction * Math.sqrt(Math.PI))
}
