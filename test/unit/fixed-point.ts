/** Arithmetic with 50 decimals in BigInt: an independent way to the numbers that the library computes in float64. */

export const one = 10n ** 50n
const pi = 314159265358979323846264338327950288419716939937510n

/** A decimal number as it is written, e.g. `'0.02'` or `'1e-4'`. */
export function fixed(text: string): bigint {
  const [mantissa = '', exponent = '0'] = text.split('e')
  const [whole = '', decimals = ''] = mantissa.split('.')
  const power = 50 - decimals.length + Number(exponent)
  return BigInt(whole + decimals) * 10n ** BigInt(power)
}

export const multiply = (a: bigint, b: bigint): bigint => (a * b) / one
export const divide = (a: bigint, b: bigint): bigint => (a * one) / b
export const toNumber = (value: bigint): number => Number(value.toString()) / 1e50

export function squareRoot(value: bigint): bigint {
  const target = value * one
  if (target === 0n) return 0n
  let guess = 1n << BigInt(Math.ceil(target.toString(2).length / 2))
  while (true) {
    const next = (guess + target / guess) / 2n
    if (next >= guess) return guess
    guess = next
  }
}

/** cos(fraction · π/2)² by Taylor's series. */
export function squaredCosine(fraction: bigint): bigint {
  const angle = multiply(fraction, pi / 2n)
  const square = multiply(angle, angle)
  let term = one
  let sum = one
  for (let k = 1n; term !== 0n; k++) {
    term = -multiply(term, square) / ((2n * k - 1n) * (2n * k))
    sum += term
  }
  return multiply(sum, sum)
}

/** abar_t for betas given in fixed point. */
export function alphaBars(betas: readonly bigint[]): bigint[] {
  let product = one
  return betas.map((beta) => {
    product = multiply(product, one - beta)
    return product
  })
}

export function linearBetas(steps: number, start = fixed('1e-4'), end = fixed('0.02')): bigint[] {
  return Array.from({ length: steps }, (_, t) => (start * BigInt(steps - 1 - t) + end * BigInt(t)) / BigInt(steps - 1))
}

export function cosineBetas(steps: number): bigint[] {
  const limit = fixed('0.999')
  const power = (t: number): bigint =>
    squaredCosine(divide((BigInt(t) * one) / BigInt(steps) + fixed('0.008'), fixed('1.008')))
  let before = power(0)
  return Array.from({ length: steps }, (_, t) => {
    const after = power(t + 1)
    const beta = one - divide(after, before)
    before = after
    return beta < limit ? beta : limit
  })
}
