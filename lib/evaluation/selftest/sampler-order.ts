/** The order at which a sampler's error falls, measured between two numbers of steps. */

import type { Level, Schedule } from '../../diffusion/schedule.js'
import { DpmError } from '../../errors.js'
import { type SamplerKind, samplers } from '../../sampling/samplers.js'
import { adaptiveRun } from './adaptive-error.js'
import type { SamplerExpectation } from './expectations.js'
import { lawError, lawsOf, pathsOf, pointError, problems, quantilesAt } from './problems.js'
import { isStochastic, LevelBook, onFirst, processNames, recordEither } from './recordings.js'

/**
 * sigma / alpha from 6 down to 0.2, at a share u of the steps. Multistep methods begin with steps of lower order:
 * `slow-start` gives these the size of the square of the others, so that what they lack is of the fourth order.
 */
const grids = {
  'even-logarithms': (u) => 6 * (0.2 / 6) ** u,
  'even-ratios': (u) => 6 + u * (0.2 - 6),
  'slow-start': (u) => 6 * (0.2 / 6) ** (u * u * (1.5 - 0.5 * u)),
} as const satisfies Record<string, (u: number) => number>
export type StepGrid = keyof typeof grids

const points = 5
const stepCounts = [80, 160] as const
/** What an order may be measured too low: its next term is there too. */
export const orderSlack = 0.35

/**
 * log2 of the ratio of the largest errors at a level of 80 steps and of 160. Without noise the error is that of x on the
 * mixture, where denoisers bend; with noise it is that of the law of x on Gaussian data, which is exact. The last step, to the clean
 * image, is left out: in it all are of first order.
 * @returns null where the error is chance: laws of x that no closed form says
 */
export async function measureOrder(
  kind: SamplerKind,
  expectation: SamplerExpectation | undefined,
): Promise<number | null> {
  if (samplers[kind].adaptive) return adaptiveOrder(kind)
  const errors: number[] = []
  for (const steps of stepCounts) {
    const error = await errorOf(kind, steps, expectation)
    if (error === null) return null
    errors.push(error)
  }
  const [coarse = Number.NaN, fine = Number.NaN] = errors
  return Math.log2(coarse / fine)
}

async function errorOf(
  kind: SamplerKind,
  steps: number,
  expectation: SamplerExpectation | undefined,
): Promise<number | null> {
  const book = new LevelBook()
  const levelsOn = (schedule: Schedule): Level[] =>
    Array.from({ length: steps + 1 }, (_, i) => schedule.atRatio(grids[expectation?.grid ?? 'slow-start'](i / steps)))
  const { result } = onFirst(processNames, ({ schedule }) => {
    const levels = levelsOn(schedule)
    const run = expectation?.inverts ? levels : [...levels]
    return {
      levels: run,
      program: recordEither(kind, schedule, [...run, schedule.clean], { label: book.label }),
      schedule,
    }
  })
  const { program, levels, schedule } = result
  // Step i of a run comes to level i + 1; of an inversion it climbs from the clean level.
  const reached = expectation?.inverts ? levels.toReversed() : levels.slice(1)
  const first = expectation?.inverts ? schedule.clean : (levels[0] ?? schedule.clean)
  if (isStochastic(program)) {
    const laws = lawsOf(program, book, problems.gaussian.moments(first))
    return laws
      ? Math.max(...reached.map((level, i) => lawError(laws[i] ?? problems.gaussian.moments(first), level)))
      : null
  }
  const start = quantilesAt(problems.mixture, first, points)
  const paths = await pathsOf(program, problems.mixture, book, start)
  // All levels at which both numbers of steps end; those between them say nothing else.
  return Math.max(
    ...reached.map((level, i) => {
      if (i !== reached.length - 1 && i % 8 !== 7) return 0
      const exact = start.map((x) => problems.mixture.flow(x, first, level))
      return pointError(problems.mixture, paths[i] ?? [], exact, level)
    }),
  )
}

/** From the evaluations that a tighter tolerance costs: the error falls as evaluations^-order. */
async function adaptiveOrder(kind: SamplerKind): Promise<number> {
  const [loose, tight] = [await adaptiveRun(kind, 'mixture', 1e-4), await adaptiveRun(kind, 'mixture', 1e-7)]
  if (!loose || !tight) throw new DpmError('DPM_INTERNAL', `Sampler ${kind} gave no result.`)
  return Math.log(loose.error / tight.error) / Math.log(tight.evaluations / loose.evaluations)
}
