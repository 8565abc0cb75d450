/** Sampling with a denoiser written in JavaScript: any sampler of the list, no addon. */

import {
  type ClipSettings,
  clipSchema,
  createSchedule,
  type DiffusionOptions,
  parseDiffusion,
} from '../diffusion/diffusion-options.js'
import { createGuidance, type GuidanceOptions, guidanceDefinition, parseGuidance } from '../diffusion/guidance/list.js'
import { isLearned, type VarianceKind, varianceKinds } from '../diffusion/posterior.js'
import { type PredictionOptions, resolvePrediction } from '../diffusion/predictions/list.js'
import { type Level, requireNoise, type Schedule } from '../diffusion/schedule.js'
import { DpmError, expected } from '../errors.js'
import { type Checks, checks, readOptions, required } from '../options/call-options.js'
import { parseOptions } from '../options/options.js'
import { type Seed, seedNumber } from '../options/seed.js'
import { normals } from '../random/philox.js'
import { type NoisePurpose, purposeOf } from '../random/purposes.js'
import { requireRoom } from '../room.js'
import { solveAdaptive } from './adaptive.js'
import { type FinalLevel, finalScale, selectLevels } from './levels.js'
import type { Condition, Program } from './program.js'
import type { RecordContext } from './recorder.js'
import { type ReferenceGuide, type ReferenceStep, referenceSteps } from './reference-executor.js'
import { parseSampler, recordSampler, type SamplerOptions, samplerDefinition } from './samplers.js'
import type { SpacingOptions } from './spacings/list.js'

/** Where in the run a denoiser is asked: x = alpha · clean + sigma · noise. */
export interface DenoiserLevel {
  /** Time of the schedule, 0 … T-1. */
  readonly time: number
  /** Count of the run's levels before this one: 0, 1, 2 … */
  readonly step: number
  readonly alpha: number
  readonly sigma: number
  /** Which samples of the run x holds, 0 … count-1, N: all of them, but with an adaptive sampler, which asks for one. */
  readonly places: readonly number[]
  /** With guidance: whether to answer for the condition or without it; `null` when there is no guidance. */
  readonly condition: Condition
}

/**
 * @param x N × elements
 * @returns the clean image, or what `prediction` says, N × elements
 */
export type Denoiser = (x: Float64Array, level: DenoiserLevel) => ArrayLike<number> | Promise<ArrayLike<number>>

/** Something to be had more of: the gradient of its logarithm moves every step. */
export interface Guide {
  /** ∇ log p(wanted | x) at a level, N × elements: x = alpha · clean + sigma · noise. */
  readonly gradient: ReferenceGuide
  /** 1 when absent. */
  readonly scale?: number | undefined
}

export interface SampleOptions {
  readonly denoiser: Denoiser
  /** What the denoiser returns; `clean` when absent. */
  readonly prediction?: PredictionOptions | undefined
  /** N first, then the shape of one sample. */
  readonly shape: readonly number[]
  readonly sampler: SamplerOptions
  /** DDPM's linear schedule of 1000 steps when absent. */
  readonly schedule?: Schedule | DiffusionOptions['schedule']
  /** Number of steps; all times of a discrete schedule when absent. */
  readonly steps?: number | undefined
  readonly spacing?: SpacingOptions | undefined
  /** Where the run ends; at the clean image when absent. */
  readonly finalLevel?: FinalLevel | undefined
  /** x at the first level, N × elements; keyed normals when absent. */
  readonly initial?: ArrayLike<number> | undefined
  /** Replaces the keyed normals of a draw 0, 1, 2 … of a purpose, N × elements. */
  readonly noise?: ((step: number, purpose: NoisePurpose) => ArrayLike<number>) | undefined
  /** From 0 to 2^64 - 1; above 2^53 - 1 a bigint, or digits. 0 when absent. */
  readonly seed?: Seed | undefined
  /** The key of each sample's noise; 0 … N-1 when absent. */
  readonly samples?: ArrayLike<number> | undefined
  /** Scale or options of guidance; without it the denoiser is asked once per level. */
  readonly guidance?: number | GuidanceOptions | undefined
  /** The weaker denoiser that autoguidance (`{ kind: 'auto' }`) moves away from. */
  readonly weaker?: Denoiser | undefined
  readonly guides?: readonly Guide[] | undefined
  /** Begin with this image, N × elements, mixed with noise, at the level that is the given share of the run away from it. */
  readonly image?: { readonly data: ArrayLike<number>; readonly strength: number } | undefined
  /** Keep `known` (N × elements) where `mask` (N × elements) is 0, and draw where it is 1. */
  readonly inpaint?: { readonly known: ArrayLike<number>; readonly mask: ArrayLike<number> } | undefined
  /** What is done to the predicted clean image; nothing when absent. */
  readonly clip?: DiffusionOptions['clip']
  /** Variance of ancestral samplers; `fixed-large` when absent. With a learned one the denoiser returns F, then v. */
  readonly variance?: VarianceKind | undefined
  /** Sample even where the schedule ends with signal left, so that its own noise is not what training saw there. */
  readonly allowSignal?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SampleResult {
  /** N × elements. */
  readonly data: Float64Array<ArrayBuffer>
  readonly shape: readonly number[]
  /** How often the denoiser was asked; by an adaptive sampler, which asks sample by sample, about the one that took most. */
  readonly evaluations: number
  /** What ran; undefined with an adaptive sampler. */
  readonly program: Program | undefined
}

/** Samples to the end. @throws DpmError DPM_INVALID_OPTION, DPM_INVALID_ARGUMENT or DPM_ABORTED. */
export async function sample(
  options: SampleOptions & {
    /** Told each step, and waited for where it returns a promise. */
    readonly onStep?: ((step: ReferenceStep) => unknown) | undefined
  },
): Promise<SampleResult> {
  const { onStep, ...rest } = readOptions('sample', options, { ...sampleChecks, onStep: checks.callback })
  const steps = sampleSteps(rest)
  while (true) {
    const next = await steps.next()
    if (next.done) return next.value
    await onStep?.(next.value)
  }
}

/** Samples step by step; leaving the loop ends the run. */
export async function* sampleSteps(given: SampleOptions): AsyncGenerator<ReferenceStep, SampleResult, undefined> {
  const options = readSampleOptions(given)
  const [count, ...shape] = checkedShape(options.shape)
  const { guidance, guides = [], variance = 'fixed-large', noise, image, inpaint } = options
  if (!varianceKinds.includes(variance)) {
    throw expected(`one of ${varianceKinds.join(', ')}`, 'variance', variance, '', 'DPM_INVALID_OPTION')
  }
  const elements = shape.reduce((product, size) => product * size, 1)
  requireRoom(8 * count * elements, `${count} × ${elements} numbers`, 'Sample fewer at a time.')
  const every = Array.from({ length: count }, (_, index) => index)
  const samples = options.samples ?? every
  if (samples.length !== count) throw expected(`${count} sample indices`, 'samples', samples.length)
  // Also where none of them decides on anything: a wrong one is a mistake.
  const seed = seedNumber(options.seed ?? 0)
  const schedule = resolveSchedule(options.schedule)
  const settings = parseSampler(options.sampler)
  const all = selectLevels(schedule, options)
  const levels = image ? lastLevels(all, image.strength) : all
  const guided = parseGuidance(guidance ?? 1)
  if (guidanceDefinition(guided).networks > 0 && !options.weaker) {
    throw expected('a denoiser', 'weaker', options.weaker, `Guidance "${guided.kind}" moves away from it.`)
  }
  const start = image ? 'image' : options.initial ? 'given' : 'noise'
  if (start === 'noise' && !options.allowSignal) requireNoise(schedule, levels[0])
  const asked = new LevelLabels(levels)
  const denoisers = [options.denoiser, ...(options.weaker ? [options.weaker] : [])]
  const context: RecordContext = {
    schedule,
    levels,
    prediction: resolvePrediction(options.prediction ?? 'clean', schedule),
    label: (level) => asked.label(level),
    clip: resolveClip(options.clip),
    variance,
    learnsVariance: isLearned(variance),
    condition: guidance === undefined ? 'null' : 'given',
    guidance: createGuidance(guided),
    guides: guides.map(({ scale = 1 }) => ({ scale })),
    start,
    inpaint: inpaint !== undefined,
    finalScale: finalScale(schedule, options.finalLevel),
  }
  const x = options.initial ?? initialNoise(seed, samples, elements)
  const definition = samplerDefinition(settings)
  const ask = (
    input: Float64Array,
    label: number,
    condition: Condition,
    index: number,
    places: readonly number[],
  ): ReturnType<Denoiser> => {
    const level = asked.level(label)
    return (denoisers[index] ?? options.denoiser)(input, { ...level, step: asked.step(level), places, condition })
  }
  const gradients = guides.map(({ gradient }) => gradient)
  if (inpaint) requireShares(inpaint.mask)
  const inputs = { x, ...(image && { image: image.data }), ...inpaint }
  if (definition.adaptive) {
    const solution = yield* solveAdaptive(definition, settings, context, {
      // One sample after another, since each has its own level.
      async ask(questions) {
        const outputs: ArrayLike<number>[] = []
        for (const { x, label, condition, network, sample } of questions) {
          outputs.push(await ask(x, label, condition, network, [sample]))
        }
        return outputs
      },
      guides: gradients,
      inputs,
      count,
      elements,
      signal: options.signal,
    })
    return { ...solution, shape: options.shape, program: undefined }
  }
  const program = recordSampler(settings, context)
  const { output, evaluations } = yield* referenceSteps(program, {
    network: (input, label, condition, index) => ask(input, label, condition, index, every),
    guides: gradients,
    inputs,
    shape,
    samples,
    seed,
    noise: noise && ((step, purpose) => noise(step, purposeOf(purpose))),
    signal: options.signal,
  })
  return { data: output, shape: options.shape, evaluations, program }
}

/** The last levels of a run that begins with an image: the given share of its steps, at least one. */
export function lastLevels(levels: readonly Level[], strength: number): readonly Level[] {
  if (!(strength > 0 && strength <= 1)) throw expected('a number above 0, at most 1', 'strength', strength)
  const steps = levels.length - 1
  return levels.slice(steps - Math.max(1, Math.round(strength * steps)))
}

/** Labels by which the network of a recording finds the level that it is asked at: its time, where that tells it. */
class LevelLabels {
  readonly #levels = new Map<number, Level>()
  readonly #steps: ReadonlyMap<number, number>

  constructor(levels: readonly Level[]) {
    this.#steps = new Map(levels.map(({ time }, step) => [time, step]))
  }

  label(level: Level): number {
    for (let label = level.time; ; label += 1e-6) {
      const known = this.#levels.get(label)
      if (known && (known.alpha !== level.alpha || known.sigma !== level.sigma)) continue
      this.#levels.set(label, level)
      return label
    }
  }

  level(label: number): Level {
    const level = this.#levels.get(label)
    if (!level) throw new DpmError('DPM_INTERNAL', `No level has the label ${label}.`)
    return level
  }

  /** Count of the run's levels before this one; of a level between two of them, that of the noisier. */
  step({ time }: Level): number {
    const known = this.#steps.get(time)
    if (known !== undefined) return known
    let before = 0
    for (const [other, step] of this.#steps) if (other > time) before = Math.max(before, step)
    return before
  }
}

/** Standard normals for each sample: x at a level where nothing but noise is left. */
export function initialNoise(seed: number, samples: ArrayLike<number>, elements: number): Float64Array<ArrayBuffer> {
  const x = new Float64Array(samples.length * elements)
  for (let n = 0; n < samples.length; n++) x.set(normals(seed, 'initial', 0, samples[n] ?? 0, elements), n * elements)
  return x
}

function checkedShape(shape: readonly number[]): [number, ...number[]] {
  const [count, ...rest] = shape
  if (count === undefined || !shape.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw expected('whole numbers above 0, the count of samples first,', 'shape', shape)
  }
  return [count, ...rest]
}

const sampleChecks: Checks<SampleOptions> = {
  denoiser: required(checks.callback),
  prediction: checks.any,
  shape: required(checks.list),
  sampler: checks.any,
  schedule: checks.any,
  steps: checks.any,
  spacing: checks.any,
  finalLevel: checks.any,
  initial: checks.numbers,
  noise: checks.callback,
  seed: checks.any,
  samples: checks.numbers,
  guidance: checks.any,
  weaker: checks.callback,
  guides: checks.list,
  image: checks.object,
  inpaint: checks.object,
  clip: checks.any,
  variance: checks.any,
  allowSignal: checks.flag,
  signal: checks.signal,
}

/** @throws DpmError DPM_INVALID_OPTION for an unknown name, or a value of another kind. */
function readSampleOptions(given: SampleOptions): SampleOptions {
  const options = readOptions('sample', given, sampleChecks)
  const { image, inpaint, guides } = options
  const [numbers, number] = [required(checks.numbers), required(checks.number)]
  const guide: Checks<Guide> = { gradient: required(checks.callback), scale: checks.number }
  return {
    ...options,
    ...(image && { image: readOptions('sample', image, { data: numbers, strength: number }, 'image.') }),
    ...(inpaint && { inpaint: readOptions('sample', inpaint, { known: numbers, mask: numbers }, 'inpaint.') }),
    ...(guides && { guides: Array.from(guides, (one, i) => readOptions('sample', one, guide, `guides.${i}.`)) }),
  }
}

function requireShares(mask: ArrayLike<number>): void {
  for (let i = 0; i < mask.length; i++) {
    const share = mask[i] ?? Number.NaN
    if (!(share >= 0 && share <= 1)) throw expected('numbers from 0 to 1', 'inpaint.mask', share)
  }
}

function resolveSchedule(schedule: SampleOptions['schedule']): Schedule {
  if (isSchedule(schedule)) return schedule
  return createSchedule(parseDiffusion(schedule === undefined ? {} : { schedule }).schedule)
}

function isSchedule(schedule: unknown): schedule is Schedule {
  return (
    typeof schedule === 'object' && schedule !== null && typeof (schedule as Partial<Schedule>).level === 'function'
  )
}

function resolveClip(clip: SampleOptions['clip']): ClipSettings {
  return clip === undefined ? { kind: 'none' } : parseOptions(clipSchema, clip, 'clip')
}
