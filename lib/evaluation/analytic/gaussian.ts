/**
 * N(mean, deviation²) in every element. x at a level is N(alpha mean, V), V = alpha² deviation² + sigma², and
 *
 *     clean = mean + g (x - alpha mean),  g = alpha deviation² / V        score = -(x - alpha mean) / V
 *     the flow keeps (x - alpha mean) / sqrt(V)
 *
 * A denoiser that is affine in x: what a sampler makes of it follows exactly from its program.
 */
import type { Level } from '../../diffusion/schedule.js'
import type { AnalyticData, Moments } from './analytic-data.js'
import { gaussianMixture } from './gaussian-mixture.js'

export function gaussian({ mean, deviation }: Moments): AnalyticData {
  const moments = ({ alpha, sigma }: Level): Moments => ({
    mean: alpha * mean,
    deviation: Math.hypot(alpha * deviation, sigma),
  })
  const gain = (level: Level): number => (level.alpha * deviation ** 2) / moments(level).deviation ** 2
  const placeOf = (x: number, level: Level): number => {
    const at = moments(level)
    return (x - at.mean) / at.deviation
  }
  // The inverse of the normal distribution function has no closed form, whether there is one mode or more.
  const { quantile } = gaussianMixture([{ weight: 1, mean, deviation }])
  return {
    name: 'gaussian',
    moments,
    clean: (x, level) => mean + gain(level) * (x - level.alpha * mean),
    cleanSlope: (_, level) => gain(level),
    score: (x, level) => -placeOf(x, level) / moments(level).deviation,
    logDensity: (x, level) =>
      -(placeOf(x, level) ** 2) / 2 - Math.log(moments(level).deviation * Math.sqrt(2 * Math.PI)),
    quantile,
    flow: (x, from, to) => {
      const at = moments(to)
      return at.mean + at.deviation * placeOf(x, from)
    },
  }
}
