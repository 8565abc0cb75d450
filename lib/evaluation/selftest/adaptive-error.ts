/** A sampler that chooses its steps, at one tolerance: what it cost and how far it was off. */
import type { Schedule } from '../../diffusion/schedule.js'
import { type AdaptiveResult, solveAdaptive } from '../../sampling/adaptive.js'
import type { AdaptiveSampler } from '../../sampling/define-sampler.js'
import type { AnalyticData } from '../analytic/analytic-data.js'
import { pointError, quantilesAt } from './problems.js'
import { contextOf, LevelBook } from './recordings.js'

export interface Measured {
  /** Of the network, for the sample that took most. */
  readonly evaluations: number
  /** In deviations of the exact law. */
  readonly error: number
}

const points = 5

/** From the noisiest level of a schedule to the clean image. */
export async function adaptiveRun(
  sampler: AdaptiveSampler,
  data: AnalyticData,
  schedule: Schedule,
  tolerance: number,
): Promise<Measured> {
  const [first, last] = [schedule.level(schedule.noisiest), schedule.level(schedule.cleanest)]
  const start = quantilesAt(data, first, points)
  const { data: x, evaluations } = await solveFrom(start, sampler, data, schedule, tolerance)
  const exact = start.map((value) => data.clean(data.flow(value, first, last), last))
  return { evaluations, error: pointError(data, x, exact, schedule.clean) }
}

/** @param start x of each sample at the noisiest level of the schedule. */
export async function solveFrom(
  start: Float64Array,
  sampler: AdaptiveSampler,
  data: AnalyticData,
  schedule: Schedule,
  tolerance: number,
): Promise<AdaptiveResult> {
  const book = new LevelBook()
  const levels = [schedule.level(schedule.noisiest), schedule.level(schedule.cleanest), schedule.clean]
  const solution = solveAdaptive(
    sampler,
    sampler.options.parse({ kind: sampler.name, rtol: tolerance, atol: tolerance }),
    contextOf(schedule, levels, { label: book.label }),
    {
      ask: async (questions) => questions.map(({ x, label }) => x.map((value) => data.clean(value, book.level(label)))),
      inputs: { x: start },
      count: start.length,
      elements: 1,
    },
  )
  let next = await solution.next()
  while (!next.done) next = await solution.next()
  return next.value
}
