/** Data from two Gaussians: a denoiser that is not affine, known in closed form. */
import type { Level } from '../../lib/diffusion/schedule.js'
import type { Program } from '../../lib/sampling/program.js'
import { runReference } from '../../lib/sampling/reference-executor.js'

const modes = [
  { weight: 0.3, mean: -0.7, deviation: 0.3 },
  { weight: 0.7, mean: 0.5, deviation: 0.2 },
]

/** E[x_0 | x_t]. */
export function mixtureClean({ alpha, sigma }: Level, x: number): number {
  let [weights, sum] = [0, 0]
  for (const { weight, mean, deviation } of modes) {
    const variance = (alpha * deviation) ** 2 + sigma ** 2
    const distance = x - alpha * mean
    const likelihood = (weight / Math.sqrt(variance)) * Math.exp(-(distance ** 2) / (2 * variance))
    weights += likelihood
    sum += likelihood * (mean + ((alpha * deviation ** 2) / variance) * distance)
  }
  return sum / weights
}

/** Labels by which the network of a recording knows any level again: give `label` to the record context. */
export function mixtureNetwork() {
  const levels: Level[] = []
  return {
    label: (level: Level): number => levels.push(level) - 1,
    network: (x: Float64Array, label: number): Float64Array => {
      const level = levels[label]
      if (!level) throw new Error(`No level has the label ${label}.`)
      return x.map((value) => mixtureClean(level, value))
    },
  }
}

/** The output of a program without noise of its own, from x at its start. */
export async function runMixture(
  program: Program,
  { network }: ReturnType<typeof mixtureNetwork>,
  start: readonly number[],
): Promise<Float64Array> {
  const { output } = await runReference(program, {
    network,
    inputs: { x: start },
    shape: [start.length],
    samples: [0],
    seed: 0,
  })
  return output
}
