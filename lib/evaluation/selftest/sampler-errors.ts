/** How far the images of a sampler are off after so many evaluations of the network. */

import type { Level } from '../../diffusion/schedule.js'
import { selectLevels } from '../../sampling/levels.js'
import type { Program } from '../../sampling/program.js'
import { type SamplerKind, samplers } from '../../sampling/samplers.js'
import { adaptiveRun, type Measured } from './adaptive-error.js'
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
  evaluationsOf,
  isStochastic,
  LevelBook,
  onFirst,
  type ProcessName,
  processNames,
  recordEither,
} from './recordings.js'

export interface SamplerErrors {
  /** The process of the measurement: EDM's with Karras's steps where the sampler takes it; `edm` for adaptive ones. */
  readonly process: ProcessName
  readonly stochastic: boolean
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
  kind: SamplerKind,
  budgets: readonly number[],
  expectation: SamplerExpectation | undefined,
): Promise<SamplerErrors> {
  if (samplers[kind].adaptive) return adaptiveErrors(kind, budgets)
  const errors = { gaussian: [], mixture: [] } as Record<ProblemName, (number | null)[]>
  let [process, stochastic]: [ProcessName, boolean] = ['edm', false]
  let before: { readonly steps: number; readonly found: Record<ProblemName, number> } | undefined
  for (const budget of budgets) {
    const run = withinBudget(kind, budget)
    if (!run) {
      for (const name of problemNames) errors[name].push(null)
      continue
    }
    process = run.process
    stochastic = isStochastic(run.program)
    const found = before?.steps === run.program.steps ? before.found : await errorsOf(run, expectation)
    before = { steps: run.program.steps, found }
    for (const name of problemNames) errors[name].push(found[name])
  }
  return { process, stochastic, errors }
}

interface BudgetedRun {
  readonly process: ProcessName
  readonly program: Program
  readonly levels: readonly Level[]
  readonly book: LevelBook
}

/** The run of most steps that asks the network so often at most. */
function withinBudget(kind: SamplerKind, budget: number): BudgetedRun | undefined {
  let [best, low, high]: [BudgetedRun | undefined, number, number] = [undefined, 1, budget]
  while (low <= high) {
    const steps = Math.floor((low + high) / 2)
    const run = recordRun(kind, steps)
    if (evaluationsOf(run.program) <= budget) [best, low] = [run, steps + 1]
    else high = steps - 1
  }
  return best
}

function recordRun(kind: SamplerKind, steps: number): BudgetedRun {
  const book = new LevelBook()
  const { name, result } = onFirst(processNames, ({ schedule }) => {
    const levels = selectLevels(schedule, { steps, ...(schedule.name === 'edm' && { spacing: 'karras' }) })
    return { levels, program: recordEither(kind, schedule, levels, { label: book.label }) }
  })
  return { process: name, book, ...result }
}

async function errorsOf(
  { program, levels, book }: BudgetedRun,
  expectation: SamplerExpectation | undefined,
): Promise<Record<ProblemName, number>> {
  const ends = expectation?.inverts ? levels.toReversed() : levels
  const [first, last] = [ends[0] as Level, ends.at(-1) as Level]
  const laws = isStochastic(program) ? lawsOf(program, book, problems.gaussian.moments(first)) : undefined
  const errorOn = async (name: ProblemName): Promise<number> => {
    const data = problems[name]
    if (isStochastic(program)) {
      const law = laws?.at(-1)
      return name === 'gaussian' && law ? lawError(law, last) : sampledError(program, data, book, { first, last })
    }
    const start = quantilesAt(data, first, points)
    const x = (await pathsOf(program, data, book, start)).at(-1) ?? []
    return pointError(
      data,
      x,
      start.map((value) => data.flow(value, first, last)),
      last,
    )
  }
  return { gaussian: await errorOn('gaussian'), mixture: await errorOn('mixture') }
}

/** One run for each tolerance; for a budget the most exact of those that keep to it. */
async function adaptiveErrors(kind: SamplerKind, budgets: readonly number[]): Promise<SamplerErrors> {
  const errors = {} as Record<ProblemName, (number | null)[]>
  for (const name of problemNames) {
    const runs: Measured[] = []
    for (let power = 0; power <= 20; power++) runs.push(await adaptiveRun(kind, name, 0.9 * 10 ** (-power / 3)))
    errors[name] = budgets.map((budget) => {
      const within = runs.filter(({ evaluations }) => evaluations <= budget)
      return within.length === 0 ? null : Math.min(...within.map(({ error }) => error))
    })
  }
  return { process: 'edm', stochastic: false, errors }
}
