/** A sampler of the catalog on a process that it takes: what every part of the selftest begins with. */
import { createProcess, type DiffusionProcess, parseDiffusion } from '../../diffusion/diffusion-options.js'
import { createGuidance, parseGuidance } from '../../diffusion/guidance/list.js'
import { resolvePrediction } from '../../diffusion/predictions/list.js'
import type { Level, Schedule } from '../../diffusion/schedule.js'
import { DpmError } from '../../errors.js'
import type { Program } from '../../sampling/program.js'
import type { RecordContext, Start } from '../../sampling/recorder.js'
import { parseSampler, recordSampler, type SamplerKind } from '../../sampling/samplers.js'

/** Processes in the order in which a sampler is tried on them: some walk on straight paths, others in discrete times alone. */
const processes = {
  edm: { schedule: 'edm', prediction: 'edm', timeLabel: 'quarter-log-ratio' },
  'rectified-flow': { schedule: 'rectified-flow', prediction: 'flow', timeLabel: 'fraction' },
  linear: { schedule: 'linear' },
} as const
export type ProcessName = keyof typeof processes
export const processNames = Object.keys(processes) as readonly ProcessName[]

export function namedProcess(name: ProcessName): DiffusionProcess {
  return createProcess(parseDiffusion(processes[name]))
}

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
    start: 'given' satisfies Start,
    inpaint: false,
    ...change,
  }
}

/** Inputs of a run that paints: everything is to be drawn. */
export const paintingInputs = { known: 0, mask: 1 } as const

/** The program of a sampler's defaults; as a run that paints where the sampler does nothing else. */
export function recordEither(kind: SamplerKind, schedule: Schedule, levels: readonly Level[], change: Change): Program {
  const settings = parseSampler(kind)
  const plain = attempt(() => recordSampler(settings, contextOf(schedule, levels, change)))
  if (!(plain instanceof DpmError)) return plain
  const painting = attempt(() => recordSampler(settings, contextOf(schedule, levels, { ...change, inpaint: true })))
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

/** The first process on which something can be done, and what came of it. @throws what the last of them was refused with. */
export function onFirst<Result>(
  names: readonly ProcessName[],
  work: (process: DiffusionProcess) => Result,
): { readonly name: ProcessName; readonly result: Result } {
  let refusal: DpmError | undefined
  for (const name of names) {
    const result = attempt(() => work(namedProcess(name)))
    if (!(result instanceof DpmError)) return { name, result }
    refusal = result
  }
  throw refusal ?? new DpmError('DPM_INTERNAL', 'The selftest has no process.')
}

export function evaluationsOf(program: Program): number {
  return program.instructions.filter(({ op }) => op === 'evaluate').length
}

export function isStochastic(program: Program): boolean {
  return program.instructions.some(({ op }) => op === 'noise')
}
