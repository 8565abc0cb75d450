/** The data of the selftest, and the errors that runs on them make. */
import type { Level } from '../../diffusion/schedule.js'
import type { Program } from '../../sampling/program.js'
import { referenceSteps, runReference } from '../../sampling/reference-executor.js'
import { lawOf, NotAffine, runAffine } from '../analytic/affine-program.js'
import { type AnalyticData, evenShares, type Moments } from '../analytic/analytic-data.js'
import { gaussian } from '../analytic/gaussian.js'
import { gaussianMixture } from '../analytic/gaussian-mixture.js'
import { type LevelBook, paintingInputs } from './recordings.js'

/** Of one element: a normal law, on which denoisers are straight, and two modes, between which they bend. */
export const problems = {
  gaussian: gaussian({ mean: 0.4, deviation: 0.6 }),
  mixture: gaussianMixture([
    { weight: 0.3, mean: -0.7, deviation: 0.3 },
    { weight: 0.7, mean: 0.5, deviation: 0.2 },
  ]),
} as const satisfies Record<string, AnalyticData>
export type ProblemName = keyof typeof problems
export const problemNames = Object.keys(problems) as readonly ProblemName[]

/** How far normal laws are apart: the 2-Wasserstein distance, W² = (difference of means)² + (of deviations)². */
function distanceOf(a: Moments, b: Moments): number {
  return Math.hypot(a.mean - b.mean, a.deviation - b.deviation)
}

/**
 * The law of x after every step on Gaussian data, from the exact one at the start, of an image of infinitely many elements;
 * null where x is not affine in its noise.
 */
export function lawsOf(program: Program, book: LevelBook, start: Moments): Moments[] | null {
  const { clean, cleanSlope } = problems.gaussian
  try {
    const { steps } = runAffine(
      program,
      (label) => {
        const level = book.level(label)
        return { gain: cleanSlope(0, level), offset: clean(0, level) }
      },
      { x: start, ...paintingInputs },
    )
    return steps.map(({ x }) => lawOf(x, { x: start }))
  } catch (error) {
    if (error instanceof NotAffine) return null
    throw error
  }
}

/** Error of the law at a level, in deviations of the exact one. */
export function lawError(law: Moments, level: Level): number {
  const exact = problems.gaussian.moments(level)
  return distanceOf(law, exact) / exact.deviation
}

function networkOf(data: AnalyticData, book: LevelBook) {
  return (x: Float64Array, label: number): Float64Array => {
    const level = book.level(label)
    return x.map((value) => data.clean(value, level))
  }
}

function inputsOf(program: Program, x: Float64Array): Record<string, Float64Array> {
  const inputs: Record<string, Float64Array> = { x }
  for (const [name, value] of Object.entries(paintingInputs)) {
    if (name in program.inputs) inputs[name] = new Float64Array(x.length).fill(value)
  }
  return inputs
}

function runOf(program: Program, data: AnalyticData, book: LevelBook, x: Float64Array) {
  return {
    network: networkOf(data, book),
    inputs: inputsOf(program, x),
    shape: [x.length],
    samples: [0],
    seed: 1,
  }
}

/** x after every step of a run from the quantiles of the law at its start. */
export async function pathsOf(
  program: Program,
  data: AnalyticData,
  book: LevelBook,
  x: Float64Array,
): Promise<Float64Array[]> {
  const all: Float64Array[] = []
  for await (const step of referenceSteps(program, runOf(program, data, book, x))) all.push(step.x)
  return all
}

/** The even quantiles of the law at a level: points that stand for it. */
export function quantilesAt(data: AnalyticData, level: Level, count: number): Float64Array<ArrayBuffer> {
  let near: number | undefined
  return evenShares(count).map((share) => {
    near = data.quantile(share, level, near)
    return near
  })
}

/** Root mean squared error of points that should be others, in deviations of the exact law at a level. */
export function pointError(data: AnalyticData, x: ArrayLike<number>, exact: Float64Array, level: Level): number {
  const squares = exact.reduce((sum, value, i) => sum + (value - (x[i] ?? Number.NaN)) ** 2, 0)
  return Math.sqrt(squares / exact.length) / data.moments(level).deviation
}

const samples = 8192

/**
 * The 1-Wasserstein distance of the samples of a run from the exact law at its end, in deviations of that law: 8192 of
 * them lie about 0.006 apart from it by chance alone.
 */
export async function sampledError(
  program: Program,
  data: AnalyticData,
  book: LevelBook,
  levels: { readonly first: Level; readonly last: Level },
): Promise<number> {
  // Pairs start and noise by chance: neighbours at the start have other noise.
  const x = quantilesAt(data, levels.first, samples)
  const { output } = await runReference(program, runOf(program, data, book, x))
  const exact = quantilesAt(data, levels.last, samples)
  const drawn = output.toSorted()
  return (
    exact.reduce((sum, value, i) => sum + Math.abs(value - (drawn[i] ?? Number.NaN)), 0) /
    samples /
    data.moments(levels.last).deviation
  )
}
