/**
 * The two terms of VDM's bound that the network has no part in (Kingma et al. 2021, arXiv 2107.00630, eq. 11): that of the prior at the
 * noisiest time and that of the reconstruction at the cleanest, as functions of gamma = ln(sigma² / alpha²) there, in nats per
 * element, with their derivatives. Both depend on the images only by how often each 8-bit value occurs.
 */

export interface Slope {
  readonly value: number
  /** d value / d gamma. */
  readonly slope: number
}

/** Values of an image, k / 127.5 - 1, lie this far apart. */
const spacing = 1 / 127.5

/**
 * KL(N(alpha x, sigma²) || N(0, 1)) = ½ (alpha² x² + sigma² - ln sigma² - 1), a mean over the values.
 * @param gamma at the noisiest time
 * @param shares of the 256 values, 1 in sum
 */
export function priorTerm(gamma: number, shares: ArrayLike<number>): Slope {
  let power = 0
  for (let k = 0; k < 256; k++) power += (shares[k] ?? 0) * (k * spacing - 1) ** 2
  const signal = 1 / (1 + Math.exp(gamma))
  const noise = 1 / (1 + Math.exp(-gamma))
  return {
    value: 0.5 * (signal * power + noise + Math.log1p(Math.exp(-gamma)) - 1),
    slope: 0.5 * signal * (noise * (1 - power) - 1),
  }
}

/** Noise that is further out than this weighs less than float64's last digit. */
const furthest = 9

/**
 * -E ln p(x | z) of the decoder p(x | z) ∝ q(z | x) over the 256 values (appendix D: each value on its own): with the noise
 * e ~ N(0, 1) and r = spacing alpha / sigma,
 *
 *     E ln sum over m of exp(-m² r² / 2 - m r e),   value k - m one of the 256
 *
 * The expectation is taken by the trapezoidal rule, which converges geometrically on a normal density.
 * @param gamma at the cleanest time
 * @param shares of the 256 values, 1 in sum
 */
export function reconstructionTerm(gamma: number, shares: ArrayLike<number>): Slope {
  const r = spacing * Math.exp(-gamma / 2)
  const width = Math.min(0.7, 0.6 / r)
  const nodes = Math.ceil(furthest / width)
  /** Values that can be confused with each other at all. */
  const reach = Math.min(255, Math.ceil((2 * furthest) / r))
  let value = 0
  let byRatio = 0
  /** Values far from both ends have the same neighbours. */
  let inner = 0
  const add = (below: number, above: number, share: number): void => {
    if (share === 0) return
    const ofValue = confusion(r, below, above, width, nodes)
    value += share * ofValue.value
    byRatio += share * ofValue.slope
  }
  for (let k = 0; k < 256; k++) {
    if (k >= reach && 255 - k >= reach) inner += shares[k] ?? 0
    else add(Math.min(reach, k), Math.min(reach, 255 - k), shares[k] ?? 0)
  }
  add(reach, reach, inner)
  return { value, slope: (-r / 2) * byRatio }
}

/** The expectation for a value with so many others below and above it, and its derivative by r. */
function confusion(r: number, below: number, above: number, width: number, nodes: number): Slope {
  let value = 0
  let slope = 0
  for (let node = -nodes; node <= nodes; node++) {
    const noise = node * width
    const weight = (width * Math.exp(-0.5 * noise * noise)) / Math.sqrt(2 * Math.PI)
    // The largest exponent is at m = -noise / r, or at the nearest end.
    const largest = exponent(r, noise, Math.min(Math.max(Math.round(-noise / r), -above), below))
    let sum = 0
    let moved = 0
    for (let m = -above; m <= below; m++) {
      const part = Math.exp(exponent(r, noise, m) - largest)
      sum += part
      moved += part * (-m * m * r - m * noise)
    }
    value += weight * (largest + Math.log(sum))
    slope += (weight * moved) / sum
  }
  return { value, slope }
}

function exponent(r: number, noise: number, m: number): number {
  return -0.5 * m * m * r * r - m * r * noise
}
