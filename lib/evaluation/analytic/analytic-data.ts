/**
 * Data whose diffusion is known without a network. Every element of an image is drawn on its own from one law of numbers,
 * so x at a level {alpha, sigma} follows that law scaled by alpha and blurred by N(0, sigma²), in every element.
 */
import type { PullingDenoiser } from '../../diffusion/likelihood/likelihood-denoiser.js'
import type { Level, Schedule } from '../../diffusion/schedule.js'

export interface AnalyticData {
  readonly name: string
  /** Of one element of the data, and of x at a level. */
  moments(level: Level): Moments
  /** E[x_0 | x]: what a perfect network says. */
  clean(x: number, level: Level): number
  /** d clean / d x. */
  cleanSlope(x: number, level: Level): number
  /** d log p(x) / d x of x at a level; at the clean level of the data itself. */
  score(x: number, level: Level): number
  /** log p(x) in nats. */
  logDensity(x: number, level: Level): number
  /**
   * The x below which a share of the law at a level lies, 0 < share < 1.
   * @param near where it is looked for first; no result depends on it by more than its rounding
   */
  quantile(share: number, level: Level, near?: number): number
  /**
   * Where the probability-flow ODE (Song et al. 2021, arXiv 2011.13456, eq. 13) takes x from one level to another. In one dimension
   * it keeps the order of the points and takes law to law, so that x keeps the share of the law that lies below it.
   */
  flow(x: number, from: Level, to: Level): number
}

export interface Moments {
  readonly mean: number
  readonly deviation: number
}

/** The perfect denoiser as likelihoods ask it. Elements are independent, so its Jacobian is diagonal. */
export function analyticDenoiser(data: AnalyticData, schedule: Schedule): PullingDenoiser {
  const each = (x: Float64Array, levels: readonly Level[], f: AnalyticData['clean']): Float64Array => {
    const elements = x.length / levels.length
    return x.map((value, i) => f(value, levels[Math.floor(i / elements)] ?? schedule.clean))
  }
  return {
    schedule,
    denoise: async (x, levels) => ({ clean: each(x, levels, data.clean) }),
    pull: async (x, levels, vector) => ({
      clean: each(x, levels, data.clean),
      product: each(x, levels, data.cleanSlope).map((slope, i) => slope * (vector[i] ?? 0)),
    }),
  }
}

/** The shares 1/2N, 3/2N … in the middle of N equal parts: a law's quantiles there stand for it as evenly as N points can. */
export function evenShares(count: number): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: count }, (_, i) => (i + 0.5) / count)
}
