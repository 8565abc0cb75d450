/**
 * The probability of an 8-bit value under a Gaussian decoder (Ho et al. 2020, arXiv 2006.11239, eq. 13): the mass of
 * N(mean, deviation²) between 1/255 below the value and 1/255 above it, in units in which the 256 values lie evenly on
 * [-1, 1]; the first and the last bin reach to infinity.
 */
import { logNormalInterval } from './normal-interval.js'

const halfBin = 1 / 255
/** A value this far out is the first or the last of the 256. */
const outermost = 0.999
/** The published code lets no probability fall below this. */
const leastProbability = 1e-12

/** log probability, in nats, of the bin of `x` under N(mean, exp(logDeviation)²). */
export type DiscretizedGaussian = (x: number, mean: number, logDeviation: number) => number

/**
 * `tanh`: as the code of Ho et al. and of improved diffusion has it, with the distribution function approximated by
 * (1 + tanh(sqrt(2/π) (z + 0.044715 z³))) / 2 and probabilities kept above 1e-12, which is what published numbers are
 * made of; it may be too kind to a far-off value. `erf`: the exact probability, without a floor.
 */
export const discretizedGaussians = {
  tanh: (x, mean, logDeviation) => {
    const precision = Math.exp(-logDeviation)
    const above = approximateCdf(precision * (x - mean + halfBin))
    const below = approximateCdf(precision * (x - mean - halfBin))
    const probability = x < -outermost ? above : x > outermost ? 1 - below : above - below
    return Math.log(Math.max(probability, leastProbability))
  },
  erf: (x, mean, logDeviation) => {
    const precision = Math.exp(-logDeviation)
    const low = x < -outermost ? Number.NEGATIVE_INFINITY : precision * (x - mean - halfBin)
    const high = x > outermost ? Number.POSITIVE_INFINITY : precision * (x - mean + halfBin)
    return logNormalInterval(low, high)
  },
} as const satisfies Record<string, DiscretizedGaussian>

export type DiscretizedGaussianKind = keyof typeof discretizedGaussians
export const discretizedGaussianKinds = Object.keys(discretizedGaussians) as [
  DiscretizedGaussianKind,
  ...DiscretizedGaussianKind[],
]

function approximateCdf(z: number): number {
  return 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)))
}
