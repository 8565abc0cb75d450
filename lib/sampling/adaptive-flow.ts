/**
 * The probability-flow ODE (Song et al. 2021, arXiv 2011.13456, §4.3) by a Runge–Kutta method that chooses its steps for every
 * sample on its own. With y = x / alpha and u = ln(sigma / alpha), in which the equation is the same for every schedule,
 *
 *     dy / du = y - clean
 *
 * from the first level of the run to the schedule's least noise (or the run's, where that is less), then x = clean, unless the run
 * ends with noise. The run's other levels do not matter.
 *
 * Where no signal is left at the first level u is infinite there. The way down to sigma / alpha = 1000, where the clean image has
 * hardly begun to depend on x, is then one step of x = alpha clean + (sigma / sigma_first) x: its error is of the order 1e-6.
 */
import * as z from 'zod'
import { type Level, ratioOf } from '../diffusion/schedule.js'
import { DpmError } from '../errors.js'
import type { AdaptiveProblem, AdaptiveStep } from './adaptive.js'
import { integrateAdaptively } from './adaptive-runge-kutta.js'
import type { EmbeddedTableau } from './runge-kutta-tableau.js'

export const toleranceFields = {
  rtol: z.number().gt(0).lt(1).default(1e-5).describe('error of a step that counts, as a share of x / alpha'),
  atol: z.number().gt(0).default(1e-5).describe('and on its own: an image is in [-1, 1]'),
  maxEvaluations: z.int().min(10).max(10_000_000).default(10_000).describe('evaluations that one sample may take'),
}

export interface ToleranceSettings {
  readonly rtol: number
  readonly atol: number
  readonly maxEvaluations: number
}

/** sigma / alpha at which a run begins that has no signal at its first level. */
const startRatio = 1000
/** First try of a step: noise that shrinks by a tenth. */
const firstStep = 0.1

export async function* adaptiveFlow(
  problem: AdaptiveProblem,
  tableau: EmbeddedTableau,
  settings: ToleranceSettings,
): AsyncGenerator<AdaptiveStep, Float64Array<ArrayBuffer>, undefined> {
  const { schedule, levels, count, denoise } = problem
  const [noisiest, leastOfRun] = [levels[0], levels.at(-2)]
  if (!noisiest || !leastOfRun) throw new DpmError('DPM_INTERNAL', 'A run has fewer than two levels.')
  const cleanest = schedule.level(schedule.cleanest)
  const final = levels.at(-1)
  const endsWithNoise = final !== undefined && final.sigma > 0
  const least = ratioOf(leastOfRun) < ratioOf(cleanest) ? leastOfRun : cleanest
  const last = endsWithNoise ? final : least
  const everyone = Array.from({ length: count }, (_, n) => n)
  const denoiseAll = (x: Float64Array, level: Level) => denoise(x, new Array<Level>(count).fill(level), everyone)
  let x = problem.x
  if (ratioOf(noisiest) > ratioOf(last)) {
    let first = noisiest
    if (noisiest.alpha === 0) {
      first = schedule.atRatio(Math.max(startRatio, 2 * ratioOf(last)))
      const { alpha, sigma } = first
      const clean = await denoiseAll(x, noisiest)
      x = x.map((value, i) => alpha * (clean[i] ?? 0) + (sigma / noisiest.sigma) * value)
    }
    x = yield* follow({ ...problem, x }, first, last, tableau, settings)
  }
  if (endsWithNoise) return x
  const clean = await denoiseAll(x, last)
  yield { x: clean, clean, fraction: 1 }
  return clean
}

/** From x at one level to x at another, both with signal and noise. */
async function* follow(
  { schedule, count, x, denoise, signal }: AdaptiveProblem,
  first: Level,
  last: Level,
  tableau: EmbeddedTableau,
  settings: ToleranceSettings,
): AsyncGenerator<AdaptiveStep, Float64Array<ArrayBuffer>, undefined> {
  const elements = x.length / count
  const [start, end] = [Math.log(ratioOf(first)), Math.log(ratioOf(last))]
  const levelAt = (u: number): Level => (u === start ? first : u === end ? last : schedule.atRatio(Math.exp(u)))
  const timesAlpha = (y: Float64Array, at: readonly Level[]): Float64Array<ArrayBuffer> =>
    Float64Array.from(y, (value, i) => (at[Math.floor(i / elements)]?.alpha ?? 1) * value)
  // The clean images that were predicted last: what a step shows beside x.
  const cleans = new Float64Array(x.length)
  const integration = integrateAdaptively(
    {
      count,
      y: x.map((value) => value / first.alpha),
      start,
      end,
      firstStep,
      async slope(u, y, samples) {
        const at = Array.from(u, levelAt)
        const clean = await denoise(timesAlpha(y, at), at, samples)
        samples.forEach((sample, n) => {
          cleans.set(clean.subarray(n * elements, (n + 1) * elements), sample * elements)
        })
        return y.map((value, i) => value - (clean[i] ?? 0))
      },
    },
    tableau,
    { ...settings, signal },
  )
  while (true) {
    const next = await integration.next()
    if (next.done) return timesAlpha(next.value.y, new Array<Level>(count).fill(last))
    const { y, u } = next.value
    const fraction = u.reduce((least, one) => Math.min(least, (one - start) / (end - start)), 1)
    yield { x: timesAlpha(y, Array.from(u, levelAt)), clean: cleans.slice(), fraction }
  }
}
