/** A sampler on a process that it takes: what every part of the selftest begins with. */
import { createProcess, type DiffusionProcess, parseDiffusion } from '../../diffusion/diffusion-options.js'
import { createGuidance, parseGuidance } from '../../diffusion/guidance/list.js'
import { resolvePrediction } from '../../diffusion/predictions/list.js'
import type { Level, Schedule } from '../../diffusion/schedule.js'
import { DpmError } from '../../errors.js'
import type { RecordedSampler } from '../../sampling/define-sampler.js'
import type { Program } from '../../sampling/program.js'
import { type RecordContext, record } from '../../sampling/recorder.js'

const processes = {
  'vp-sde': { schedule: 'vp-sde', timeLabel: 'quarter-log-ratio' },
  edm: { schedule: 'edm', prediction: 'edm', timeLabel: 'quarter-log-ratio' },
  'rectified-flow': { schedule: 'rectified-flow', prediction: 'flow', timeLabel: 'fraction' },
  linear: { schedule: 'linear' },
} as const
export type ProcessName = keyof typeof processes

export function namedProcess(name: ProcessName): DiffusionProcess {
  return createProcess(parseDiffusion(processes[name]))
}

/** In the order in which a sampler is tried on them: some walk on straight paths, others in discrete times alone. */
const lessCommon = [namedProcess('rectified-flow'), namedProcess('linear')]
/** With alpha below 1, so that a factor of alpha which a sampler forgets is seen. */
export const orderProcesses = [namedProcess('vp-sde'), ...lessCommon] as const
export const errorProcesses = [namedProcess('edm'), ...lessCommon] as const

/** The labels by which a closed-form denoiser knows any level again, those between the levels of the run too. */
export class LevelBook {
  readonly #levels: Level[] = []

  readonly label = (level: Level): number => this.#levels.push(level) - 1

  level(label: number): Level {
    const level = this.#levels[label]
    if (!level) throw new DpmError('DPM_INTERNAL', `No level has the label ${label}.`)
    return level
  }
}

export type Change = Partial<Omit<RecordContext, 'schedule' | 'levels'>>

/** A run without guidance of a denoiser that says the clean image itself. */
export function contextOf(schedule: Schedule, levels: readonly Level[], change: Change): RecordContext {
  return {
    schedule,
    levels,
    prediction: resolvePrediction('clean', schedule),
    label: ({ time }) => time,
    clip: { kind: 'none' },
    variance: 'fixed-small',
    learnsVariance: false,
    condition: 'null',
    guidance: createGuidance(parseGuidance(1)),
    guides: [],
    start: 'given',
    inpaint: false,
    ...change,
  }
}

/** Inputs of a run that paints: everything is to be drawn. */
export const paintingInputs = { known: 0, mask: 1 } as const

/** Options of a sampler other than its defaults. */
export type ChangedOptions = Readonly<Record<string, unknown>>

/** What a sampler records; as a run that paints where it does nothing else. */
export function recordEither(sampler: RecordedSampler, options: ChangedOptions, context: RecordContext): Program {
  const settings = sampler.options.parse({ kind: sampler.name, ...options })
  const plain = attempt(() => record(sampler, settings, context))
  if (!(plain instanceof DpmError)) return plain
  const painting = attempt(() => record(sampler, settings, { ...context, inpaint: true }))
  if (painting instanceof DpmError) throw plain
  return painting
}

/** The result, or the refusal of options that do not fit together. */
export function attempt<Result>(work: () => Result): Result | DpmError {
  try {
    return work()
  } catch (error) {
    if (error instanceof DpmError && error.code !== 'DPM_INTERNAL') return error
    throw error
  }
}

/** What can be done on the first process that does not refuse it. @throws what the first of them refused it with. */
export function onFirst<Result>(
  processes: readonly DiffusionProcess[],
  work: (process: DiffusionProcess) => Result,
): Result {
  let refusal: DpmError | undefined
  for (const process of processes) {
    const result = attempt(() => work(process))
    if (!(result instanceof DpmError)) return result
    refusal ??= result
  }
  throw refusal ?? new DpmError('DPM_INTERNAL', 'The selftest has no process.')
}

export function evaluationsOf(program: Program): number {
  return program.instructions.filter(({ op }) => op === 'evaluate').length
}

export function isStochastic(program: Program): boolean {
  return program.instructions.some(({ op }) => op === 'noise')
}
