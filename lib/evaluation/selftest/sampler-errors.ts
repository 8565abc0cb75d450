/** How far the images of a sampler are off after so many evaluations of the network. */
import type { Level, Schedule } from '../../diffusion/schedule.js'
import type { AdaptiveSampler, RecordedSampler, SamplerDefinition } from '../../sampling/define-sampler.js'
import { selectLevels } from '../../sampling/levels.js'
import type { Program } from '../../sampling/program.js'
import type { AnalyticData } from '../analytic/analytic-data.js'
import { gaussian } from '../analytic/gaussian.js'
import { adaptiveRun, type Measured, solveFrom } from './adaptive-error.js'
import type { SamplerExpectation } from './expectations.js'
import {
  lawError,
  lawsOf,
  type ProblemName,
  pathsOf,
  pointError,
  problemNames,
  problems,
  quantilesAt,
  sampledError,
} from './problems.js'
import {
  contextOf,
  errorProcesses,
  evaluationsOf,
  isStochastic,
  LevelBook,
  onFirst,
  recordEither,
} from './recordings.js'

export interface SamplerErrors {
  /** The process of the measurement, by the name of its schedule: EDM's with Karras's steps where the sampler takes it. */
  readonly process: string
  readonly stochastic: boolean
  /** Of the shortest run of all. */
  readonly fewestEvaluations: number
  /** For each problem, the error with at most so many evaluations as `budgets` says; null where none is enough. */
  readonly errors: Readonly<Record<ProblemName, readonly (number | null)[]>>
}

const points = 9

/**
 * Without noise: root mean squared error of where 9 quantiles of the law at the start come to, against the end of the
 * probability flow. With noise, on Gaussian data: the 2-Wasserstein distance of the exact law of the end from that of the
 * data; otherwise the 1-Wasserstein distance of 8192 samples from it. All in deviations of the exact law.
 */
export async function measureErrors(
  sampler: SamplerDefinition,
  budgets: readonly number[],
  expectation: SamplerExpectation | undefined,
): Promise<SamplerErrors> {
  return sampler.adaptive ? adaptiveErrors(sampler, budgets) : recordedErrors(sampler, budgets, expectation)
}

async function recordedErrors(
  sampler: RecordedSampler,
  budgets: readonly number[],
  expectation: SamplerExpectation | undefined,
): Promise<SamplerErrors> {
  const errors = { gaussian: [], mixture: [] } as Record<ProblemName, (number | null)[]>
  const shortest = recordRun(sampler, expectation, 1)
  const stochastic = drawsNoise(sampler, expectation)
  let before: { readonly steps: number; readonly found: Record<ProblemName, number> } | undefined
  for (const budget of budgets) {
    const run = withinBudget(sampler, expectation, budget)
    if (!run) {
      for (const name of problemNames) errors[name].push(null)
      continue
    }
    const found = before?.steps === run.program.steps ? before.found : await errorsOf(run, stochastic)
    before = { steps: run.program.steps, found }
    for (const name of problemNames) errors[name].push(found[name])
  }
  return {
    process: shortest.process,
    stochastic,
    fewestEvaluations: evaluationsOf(shortest.program),
    errors,
  }
}

/** Whether x depends on more than where it starts. */
export function drawsNoise(sampler: RecordedSampler, expectation: SamplerExpectation | undefined): boolean {
  // The first of two steps: the last one goes to the clean image, which has no noise.
  return isStochastic(recordRun(sampler, expectation, 2).program)
}

interface ShortRun {
  readonly process: string
  readonly program: Program
  readonly book: LevelBook
  readonly first: Level
  readonly last: Level
}

/** The run of most steps that asks the network so often at most. */
function withinBudget(
  sampler: RecordedSampler,
  expectation: SamplerExpectation | undefined,
  budget: number,
): ShortRun | undefined {
  let [best, low, high]: [ShortRun | undefined, number, number] = [undefined, 1, budget]
  while (low <= high) {
    const steps = Math.floor((low + high) / 2)
    const run = recordRun(sampler, expectation, steps)
    if (evaluationsOf(run.program) <= budget) [best, low] = [run, steps + 1]
    else high = steps - 1
  }
  return best
}

function recordRun(sampler: RecordedSampler, expectation: SamplerExpectation | undefined, steps: number): ShortRun {
  return onFirst(errorProcesses, ({ schedule }) => {
    const levels = selectLevels(schedule, { steps, ...(schedule.name === 'edm' && { spacing: 'karras' }) })
    const book = new LevelBook()
    const context = contextOf(schedule, levels, { label: book.label })
    const program = recordEither(sampler, expectation?.options?.(levels) ?? {}, context)
    const ends = [levels[0] ?? schedule.clean, schedule.clean] as const
    const [first, last] = expectation?.inverts ? ([ends[1], ends[0]] as const) : ends
    return { process: schedule.name, program, book, first, last }
  })
}

async function errorsOf(run: ShortRun, stochastic: boolean): Promise<Record<ProblemName, number>> {
  const { program, book, first, last } = run
  if (!stochastic) {
    return { gaussian: await flowError(run, problems.gaussian), mixture: await flowError(run, problems.mixture) }
  }
  const law = lawsOf(program, book, problems.gaussian.moments(first))?.at(-1)
  return {
    gaussian: law ? lawError(law, last) : await sampledError(program, problems.gaussian, book, { first, last }),
    mixture: await sampledError(program, problems.mixture, book, { first, last }),
  }
}

/** Against where the probability flow leads from the same start. */
async function flowError({ program, book, first, last }: ShortRun, data: AnalyticData): Promise<number> {
  const start = quantilesAt(data, first, points)
  const x = (await pathsOf(program, data, book, start)).at(-1) ?? []
  const exact = start.map((value) => data.flow(value, first, last))
  return pointError(data, x, exact, last)
}

/** One run for each tolerance; for a budget the most exact of those that keep to it. */
async function adaptiveErrors(sampler: AdaptiveSampler, budgets: readonly number[]): Promise<SamplerErrors> {
  const [{ schedule }] = errorProcesses
  const errors = {} as Record<ProblemName, (number | null)[]>
  let fewestEvaluations = Number.POSITIVE_INFINITY
  for (const name of problemNames) {
    const runs = await runsWithin(sampler, problems[name], schedule, Math.max(...budgets))
    fewestEvaluations = Math.min(fewestEvaluations, ...runs.map(({ evaluations }) => evaluations))
    errors[name] = budgets.map((budget) => {
      const within = runs.filter(({ evaluations }) => evaluations <= budget)
      return within.length === 0 ? null : Math.min(...within.map(({ error }) => error))
    })
  }
  return { process: schedule.name, stochastic: false, fewestEvaluations, errors }
}

/** Tolerances from the largest down, to the first that takes more evaluations than asked for. */
async function runsWithin(
  sampler: AdaptiveSampler,
  data: AnalyticData,
  schedule: Schedule,
  most: number,
): Promise<readonly Measured[]> {
  const runs: Measured[] = []
  for (let third = 0; (runs.at(-1)?.evaluations ?? 0) <= most; third++) {
    runs.push(await adaptiveRun(sampler, data, schedule, 0.9 * 10 ** (-third / 3)))
  }
  return runs
}

/**
 * How far a run ends from the only image of its data, from any start: 0 whatever the number of steps, as the denoiser says
 * that image at every level.
 */
export async function missOfOnlyImage(
  sampler: SamplerDefinition,
  expectation: SamplerExpectation | undefined,
): Promise<number> {
  const image = 0.4
  const data = gaussian({ mean: image, deviation: 0 })
  const startAt = ({ alpha, sigma }: Level) =>
    Float64Array.of(-1.3, 0, 0.8).map((place) => alpha * image + sigma * place)
  if (sampler.adaptive) {
    const [{ schedule }] = errorProcesses
    const start = startAt(schedule.level(schedule.noisiest))
    return largestDistance((await solveFrom(start, sampler, data, schedule, 1e-3)).data, image)
  }
  const { program, book, first, last } = recordRun(sampler, expectation, 7)
  const x = (await pathsOf(program, data, book, startAt(first))).at(-1) ?? []
  return largestDistance(x, last.alpha * image)
}

function largestDistance(x: ArrayLike<number>, from: number): number {
  return Math.max(...Array.from(x, (value) => Math.abs(value - from)))
}
