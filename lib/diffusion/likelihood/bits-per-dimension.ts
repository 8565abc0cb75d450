/**
 * Bits per dimension, -log2 p(x) / D, of an image of D 8-bit values: the one unit of likelihoods of every family.
 * A density becomes a probability by the width of the bin that each value stands for.
 */

/** @param nats -log p(x) of the whole image. @param binWidth of one value, where p is a density; 1 where it is a probability. */
export function bitsPerDimension(nats: number, dimensions: number, binWidth = 1): number {
  return nats / (dimensions * Math.LN2) - Math.log2(binWidth)
}

/**
 * log of the mean of exp(values): the importance-weighted bound of K log weights (Burda et al. 2015, arXiv 1509.00519,
 * eq. 8), which grows with K towards log p(x).
 */
export function logMeanExp(values: ArrayLike<number>): number {
  const all = Array.from(values)
  const largest = Math.max(...all)
  if (!Number.isFinite(largest)) return largest
  return largest + Math.log(all.reduce((sum, one) => sum + Math.exp(one - largest), 0) / all.length)
}
