/** Data whose diffusion is known in closed form: N(mean, deviation²) in every element. */
import type { Level } from '../../lib/diffusion/schedule.js'
import type { Program } from '../../lib/sampling/program.js'
import { referenceSteps } from '../../lib/sampling/reference-executor.js'

export interface Gaussian {
  readonly mean: number
  readonly deviation: number
}

/** Variance of x at a level. */
export function variancesAt({ deviation }: Gaussian, { alpha, sigma }: Level): number {
  return alpha ** 2 * deviation ** 2 + sigma ** 2
}

/** E[x_0 | x_t], which is linear in x_t. */
export function exactClean(data: Gaussian, level: Level, x: number): number {
  const gain = (level.alpha * data.deviation ** 2) / variancesAt(data, level)
  return data.mean + gain * (x - level.alpha * data.mean)
}

export interface Moments {
  readonly mean: number
  readonly variance: number
}

/**
 * The exact mean and variance of x after each step of a program whose network is affine: x is then an affine function of
 * the start and of every noise, so one batch that holds one unit vector per sample gives all coefficients.
 * @param network the affine function of one element
 * @param start the law of x at the start
 */
export async function propagateMoments(
  program: Program,
  network: (x: number, cNoise: number) => number,
  start: Moments,
): Promise<Moments[]> {
  const draws = program.instructions.flatMap((i) => (i.op === 'noise' ? [i.step] : []))
  const count = 2 + draws.length
  const unit = (index: number): Float64Array => Float64Array.from({ length: count }, (_, n) => (n === index ? 1 : 0))
  const moments: Moments[] = []
  for await (const { x } of referenceSteps(program, {
    network: (values, cNoise) => values.map((value) => network(value, cNoise)),
    inputs: { x: unit(1) },
    shape: [1],
    samples: Array.from({ length: count }, (_, n) => n),
    seed: 0,
    noise: (step) => unit(2 + draws.indexOf(step)),
  })) {
    const [offset = 0, ...responses] = x
    const [gain = 0, ...spreads] = responses.map((response) => response - offset)
    moments.push({
      mean: offset + gain * start.mean,
      variance: gain ** 2 * start.variance + spreads.reduce((sum, spread) => sum + spread ** 2, 0),
    })
  }
  return moments
}
