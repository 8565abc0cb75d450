/**
 * The rate–distortion curve of progressive lossy compression (Ho et al. 2020, arXiv 2006.11239, §4.3): a receiver who has
 * been sent x_T … x_t has paid the prior's bits and those of all terms above t, and can show the clean image predicted
 * from x_t.
 */

export interface RateDistortionPoint {
  /** t; -1 is the image itself, without loss. */
  readonly time: number
  /** Bits per dimension received. */
  readonly rate: number
  /** Root mean squared error of the clean prediction, on the scale 0 … 255. */
  readonly distortion: number
}

/** Units of [-1, 1] are half of 255 values. */
const valuesPerUnit = 127.5

/**
 * @param prior bits per dimension of the prior's term
 * @param terms bits per dimension and mean squared clean error of the times 0 … T-1, by time
 * @returns from the noisiest time to the image itself
 */
export function rateDistortionCurve(
  prior: number,
  terms: readonly { readonly bits: number; readonly cleanError: number }[],
): RateDistortionPoint[] {
  const points: RateDistortionPoint[] = []
  let rate = prior
  for (const [index, { bits, cleanError }] of terms.toReversed().entries()) {
    points.push({ time: terms.length - 1 - index, rate, distortion: valuesPerUnit * Math.sqrt(cleanError) })
    rate += bits
  }
  return [...points, { time: -1, rate, distortion: 0 }]
}
