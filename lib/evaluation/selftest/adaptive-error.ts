/** A sampler that chooses its steps, at one tolerance: what it cost and how far it was off. */
import { sample } from '../../sampling/sample.js'
import type { SamplerKind, SamplerOptions } from '../../sampling/samplers.js'
import { type ProblemName, pointError, problems, quantilesAt } from './problems.js'
import { namedProcess } from './recordings.js'

export interface Measured {
  /** Of the network, for the sample that took most. */
  readonly evaluations: number
  /** In deviations of the exact law. */
  readonly error: number
}

const points = 5

export async function adaptiveRun(kind: SamplerKind, problem: ProblemName, tolerance: number): Promise<Measured> {
  const { schedule } = namedProcess('edm')
  const data = problems[problem]
  const [first, last] = [schedule.level(schedule.noisiest), schedule.level(schedule.cleanest)]
  const initial = quantilesAt(data, first, points)
  const { data: x, evaluations } = await sample({
    denoiser: (values, { alpha, sigma, time }) => values.map((value) => data.clean(value, { alpha, sigma, time })),
    shape: [points, 1],
    sampler: { kind, rtol: tolerance, atol: tolerance } as SamplerOptions,
    schedule,
    initial,
  })
  const exact = initial.map((value) => data.clean(data.flow(value, first, last), last))
  return { evaluations, error: pointError(data, x, exact, schedule.clean) }
}
