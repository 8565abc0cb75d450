/** The order at which a sampler's error falls, measured between two numbers of steps. */
import type { Level, Schedule } from '../../diffusion/schedule.js'
import type { AdaptiveSampler, RecordedSampler, SamplerDefinition } from '../../sampling/define-sampler.js'
import { adaptiveRun } from './adaptive-error.js'
import type { SamplerExpectation } from './expectations.js'
import { lawError, lawsOf, pathsOf, pointError, problems, quantilesAt } from './problems.js'
import {
  contextOf,
  isStochastic,
  LevelBook,
  namedProcess,
  onFirst,
  orderProcesses,
  recordEither,
} from './recordings.js'

interface Grid {
  /** sigma / alpha at a share u of the steps: down to the last level with noise. */
  readonly ratio: (u: number) => number
  /** Two numbers of steps, the second twice the first: so many that the next terms of the error hardly count. */
  readonly steps: readonly [number, number]
}

const [most, least] = [6, 0.2]

/**
 * How sigma / alpha goes down. Multistep methods begin with steps of lower order, and their error stays:
 *
 *     slow-start       first steps of the size of the square of the others, so that what they lack is of the fourth order
 *     even-ratios      for methods whose weights hold for even steps alone: from 20, where the flow is so straight (it bends
 *                      as ratio^-3) that the first steps lack less than all the others err, down to 1
 *     even-logarithms  for laws, which take the longer the more draws there are
 *     to-the-image     for runs up from the image: all steps of one size, the one from the image too
 */
const grids = {
  'slow-start': { ratio: (u) => most * (least / most) ** (u * u * (1.5 - 0.5 * u)), steps: [320, 640] },
  'even-ratios': { ratio: (u) => 20 + u * (1 - 20), steps: [640, 1280] },
  'even-logarithms': { ratio: (u) => most * (least / most) ** u, steps: [40, 80] },
  'to-the-image': { ratio: (u) => most * (1 - u), steps: [320, 640] },
} as const satisfies Record<string, Grid>
export type StepGrid = keyof typeof grids

const points = 5
/** Along a run, at so many levels that are the same with both numbers of steps. */
const places = 10

export interface MeasuredOrder {
  /** By the name of its schedule. */
  readonly process: string
  /** Null where the error is chance: laws of x that no closed form says. */
  readonly order: number | null
}

/**
 * log2 of the ratio of the largest errors along a run of so many steps and of one of twice as many, at the same levels.
 * Without noise the error is that of x on the mixture, where denoisers bend; with noise it is that of the law of x on
 * Gaussian data, which is exact. The last step, to the clean image, is left out: in it all are of first order.
 */
export function measureOrder(
  sampler: SamplerDefinition,
  expectation: SamplerExpectation | undefined,
): Promise<MeasuredOrder> {
  return sampler.adaptive ? adaptiveOrder(sampler) : recordedOrder(sampler, expectation)
}

async function recordedOrder(
  sampler: RecordedSampler,
  expectation: SamplerExpectation | undefined,
): Promise<MeasuredOrder> {
  const { ratio, steps } = grids[expectation?.grid ?? 'slow-start']
  const processes = expectation?.process ? [namedProcess(expectation.process)] : orderProcesses
  const { process, runs } = onFirst(processes, ({ schedule }) => ({
    process: schedule.name,
    runs: steps.map((count) => {
      const levels = Array.from({ length: count + 1 }, (_, i) => levelAt(schedule, ratio(i / count)))
      return recordOn(sampler, expectation, schedule, levels)
    }),
  }))
  const errors: number[] = []
  for (const run of runs) {
    const error = await largestError(run)
    if (error === null) return { process, order: null }
    errors.push(error)
  }
  const [coarse = Number.NaN, fine = Number.NaN] = errors
  return { process, order: Math.log2(coarse / fine) }
}

function levelAt(schedule: Schedule, ratio: number): Level {
  return ratio > 0 ? schedule.atRatio(ratio) : schedule.clean
}

function recordOn(
  sampler: RecordedSampler,
  expectation: SamplerExpectation | undefined,
  schedule: Schedule,
  down: readonly Level[],
) {
  const book = new LevelBook()
  const levels = down.at(-1)?.sigma === 0 ? down : [...down, schedule.clean]
  const program = recordEither(
    sampler,
    expectation?.options?.(levels) ?? {},
    contextOf(schedule, levels, { label: book.label }),
  )
  // Step i of a run comes to level i + 1; of an inversion it climbs from the clean level.
  const way = expectation?.inverts ? levels.toReversed() : down
  return { program, book, first: way[0] ?? schedule.clean, reached: way.slice(1) }
}

/** @returns null where the law of x has no closed form. */
async function largestError({ program, book, first, reached }: ReturnType<typeof recordOn>): Promise<number | null> {
  const stride = reached.length / places
  const seen = reached.flatMap((level, i) => ((i + 1) % stride === 0 ? [{ level, i }] : []))
  if (isStochastic(program)) {
    const laws = lawsOf(program, book, problems.gaussian.moments(first))
    if (!laws) return null
    return Math.max(...seen.map(({ level, i }) => (laws[i] ? lawError(laws[i], level) : Number.NaN)))
  }
  const start = quantilesAt(problems.mixture, first, points)
  const paths = await pathsOf(program, problems.mixture, book, start)
  return Math.max(
    ...seen.map(({ level, i }) => {
      const exact = start.map((x) => problems.mixture.flow(x, first, level))
      return pointError(problems.mixture, paths[i] ?? [], exact, level)
    }),
  )
}

/** Between two tolerances, from the evaluations that each costs: the error falls as evaluations^-order. */
async function adaptiveOrder(sampler: AdaptiveSampler): Promise<MeasuredOrder> {
  const [{ schedule }] = orderProcesses
  const between = { ...schedule, noisiest: schedule.atRatio(most).time, cleanest: schedule.atRatio(least).time }
  const run = (tolerance: number) => adaptiveRun(sampler, problems.mixture, between, tolerance)
  const [loose, tight] = [await run(1e-6), await run(1e-8)]
  return {
    process: schedule.name,
    order: Math.log(loose.error / tight.error) / Math.log(tight.evaluations / loose.evaluations),
  }
}
