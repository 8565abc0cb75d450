/** Programs whose network is affine, on Gaussian data: the law of x, and where the probability flow takes it. */
import type { Level } from '../../lib/diffusion/schedule.js'
import type { Affine, AffineNetwork } from '../../lib/evaluation/analytic/affine-program.js'
import { type Gaussian, type Moments, variancesAt } from './gaussian.js'

export { type AffineNetwork, runAffine, valueAt } from '../../lib/evaluation/analytic/affine-program.js'

/** Mean and variance, where the inputs have these laws and every draw is standard normal. */
export function moments({ offset, coefficients }: Affine, inputs: Readonly<Record<string, Moments>>): Moments {
  let [mean, variance] = [offset, 0]
  for (const [name, coefficient] of coefficients) {
    const law = inputs[name] ?? { mean: 0, variance: 1 }
    mean += coefficient * law.mean
    variance += coefficient ** 2 * law.variance
  }
  return { mean, variance }
}

/** The law of x at a level for Gaussian data. */
export function lawAt(data: Gaussian, level: Level): Moments {
  return { mean: level.alpha * data.mean, variance: variancesAt(data, level) }
}

/**
 * The exact denoiser of Gaussian data for a recording that predicts the clean image, and the labels by which it knows any
 * level again, those between the times of a schedule too: give `label` to the record context.
 */
export function gaussianNetwork(data: Gaussian): {
  readonly label: (level: Level) => number
  readonly network: AffineNetwork
} {
  const levels: Level[] = []
  return {
    label: (level) => levels.push(level) - 1,
    network: (cNoise) => {
      const level = levels[cNoise]
      if (!level) throw new Error(`No level has the label ${cNoise}.`)
      const gain = (level.alpha * data.deviation ** 2) / variancesAt(data, level)
      return { gain, offset: data.mean * (1 - gain * level.alpha) }
    },
  }
}

/** Where the probability flow takes x from one level to another: its place in the law of x stays. */
export function exactFlow(data: Gaussian, from: Level, to: Level, x: number): number {
  const place = (x - from.alpha * data.mean) / Math.sqrt(variancesAt(data, from))
  return to.alpha * data.mean + Math.sqrt(variancesAt(data, to)) * place
}
