/** Sampling with a denoiser written in JavaScript: any sampler of the list, no addon. */

import {
  type ClipSettings,
  clipSchema,
  createSchedule,
  type DiffusionOptions,
  parseDiffusion,
} from '../diffusion/diffusion-options.js'
import { type VarianceKind, varianceKinds } from '../diffusion/posterior.js'
import { type PredictionName, predictions } from '../diffusion/predictions/list.js'
import type { Schedule } from '../diffusion/schedule.js'
import { expected } from '../errors.js'
import { parseOptions } from '../options/options.js'
import { normals } from '../random/philox.js'
import { selectLevels } from './levels.js'
import type { Condition, Program } from './program.js'
import { type ReferenceStep, referenceSteps } from './reference-executor.js'
import { parseSampler, recordSampler, type SamplerKind, type SamplerOptions } from './samplers.js'
import type { SpacingName } from './spacings/list.js'

/** Where in the run a denoiser is asked: x = alpha · clean + sigma · noise. */
export interface DenoiserLevel {
  /** Time of the schedule, 0 … T-1. */
  readonly time: number
  /** Count of the run's levels before this one: 0, 1, 2 … */
  readonly step: number
  readonly alpha: number
  readonly sigma: number
  /** With guidance: whether to answer for the condition or without it; `null` when there is no guidance. */
  readonly condition: Condition
}

/**
 * @param x N × elements
 * @returns the clean image, or what `prediction` says, N × elements
 */
export type Denoiser = (x: Float64Array, level: DenoiserLevel) => ArrayLike<number> | Promise<ArrayLike<number>>

export interface SampleOptions {
  readonly denoiser: Denoiser
  /** What the denoiser returns; `clean` when absent. */
  readonly prediction?: PredictionName | undefined
  /** N first, then the shape of one sample. */
  readonly shape: readonly number[]
  readonly sampler: SamplerKind | SamplerOptions
  /** DDPM's linear schedule of 1000 steps when absent. */
  readonly schedule?: Schedule | DiffusionOptions['schedule']
  /** Number of steps; all times of the schedule when absent. */
  readonly steps?: number | undefined
  readonly spacing?: SpacingName | undefined
  /** x at the first level, N × elements; keyed standard normals when absent. */
  readonly initial?: ArrayLike<number> | undefined
  /** Replaces the keyed normals of a step 0, 1, 2 …, N × elements. */
  readonly noise?: ((step: number) => ArrayLike<number>) | undefined
  /** Whole number from 0; 0 when absent. */
  readonly seed?: number | undefined
  /** The key of each sample's noise; 0 … N-1 when absent. */
  readonly samples?: ArrayLike<number> | undefined
  /** Scale of classifier-free guidance; without it the denoiser is asked once per level. */
  readonly guidance?: number | undefined
  /** What is done to the predicted clean image; nothing when absent. */
  readonly clip?: DiffusionOptions['clip']
  /** Variance of ancestral samplers; `fixed-large` when absent. */
  readonly variance?: VarianceKind | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SampleResult {
  /** N × elements. */
  readonly data: Float64Array<ArrayBuffer>
  readonly shape: readonly number[]
  /** How often the denoiser was asked. */
  readonly evaluations: number
  /** What ran. */
  readonly program: Program
}

/** Samples to the end. @throws DpmError DPM_INVALID_OPTION, DPM_INVALID_ARGUMENT or DPM_ABORTED. */
export async function sample(
  options: SampleOptions & { readonly onStep?: ((step: ReferenceStep) => void) | undefined },
): Promise<SampleResult> {
  const steps = sampleSteps(options)
  while (true) {
    const next = await steps.next()
    if (next.done) return next.value
    options.onStep?.(next.value)
  }
}

/** Samples step by step; leaving the loop ends the run. */
export async function* sampleSteps(options: SampleOptions): AsyncGenerator<ReferenceStep, SampleResult, undefined> {
  const [count, ...shape] = checkedShape(options.shape)
  const { seed = 0, prediction = 'clean', guidance, variance = 'fixed-large', noise } = options
  if (!Object.hasOwn(predictions, prediction)) {
    throw expected(`one of ${Object.keys(predictions).join(', ')}`, 'prediction', prediction, '', 'DPM_INVALID_OPTION')
  }
  if (!varianceKinds.includes(variance)) {
    throw expected(`one of ${varianceKinds.join(', ')}`, 'variance', variance, '', 'DPM_INVALID_OPTION')
  }
  const samples = options.samples ?? Array.from({ length: count }, (_, index) => index)
  if (samples.length !== count) throw expected(`${count} sample indices`, 'samples', samples.length)
  const schedule = resolveSchedule(options.schedule)
  const levels = selectLevels(schedule, options)
  const program = recordSampler(parseSampler(options.sampler), {
    levels,
    prediction: predictions[prediction],
    label: ({ time }) => time,
    clip: resolveClip(options.clip),
    variance,
    guidance: guidance === undefined ? null : { scale: guidance },
  })
  const stepOf = new Map(levels.map(({ time }, step) => [time, step]))
  const elements = shape.reduce((product, size) => product * size, 1)
  const { output, evaluations } = yield* referenceSteps(program, {
    network: (x, time, condition) => {
      const { alpha, sigma } = schedule.level(time)
      return options.denoiser(x, { time, step: stepOf.get(time) ?? 0, alpha, sigma, condition })
    },
    inputs: { x: options.initial ?? initialNoise(seed, samples, elements) },
    shape,
    samples,
    seed,
    noise: noise && ((step) => noise(step)),
    signal: options.signal,
  })
  return { data: output, shape: options.shape, evaluations, program }
}

/** Standard normals for each sample: x at a level where nothing but noise is left. */
export function initialNoise(seed: number, samples: ArrayLike<number>, elements: number): Float64Array<ArrayBuffer> {
  const x = new Float64Array(samples.length * elements)
  for (let n = 0; n < samples.length; n++) x.set(normals(seed, 'initial', 0, samples[n] ?? 0, elements), n * elements)
  return x
}

function checkedShape(shape: readonly number[]): [number, ...number[]] {
  const [count, ...rest] = shape
  if (count === undefined || !shape.every((size) => Number.isInteger(size) && size > 0)) {
    throw expected('whole numbers above 0, the count of samples first,', 'shape', shape)
  }
  return [count, ...rest]
}

function resolveSchedule(schedule: SampleOptions['schedule']): Schedule {
  if (schedule && 'level' in schedule) return schedule
  return createSchedule(parseDiffusion(schedule === undefined ? {} : { schedule }).schedule)
}

function resolveClip(clip: SampleOptions['clip']): ClipSettings {
  return clip === undefined ? { kind: 'none' } : parseOptions(clipSchema, clip, 'clip')
}
