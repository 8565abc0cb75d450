/**
 * The variational bound of Ho et al. 2020 (arXiv 2006.11239, §3.1 and §4.3) on images: every term of the schedule, or some
 * times of each image for an estimate; with several paths of each image the importance-weighted bound of whole paths.
 */
import * as z from 'zod'
import type { ExampleValues } from '../datasets/data-set.js'
import { bitsPerDimension, logMeanExp } from '../diffusion/likelihood/bits-per-dimension.js'
import { type DiscretizedGaussianKind, discretizedGaussianKinds } from '../diffusion/likelihood/discretized-gaussian.js'
import { pathWeights } from '../diffusion/likelihood/path-weights.js'
import { type RateDistortionPoint, rateDistortionCurve } from '../diffusion/likelihood/rate-distortion.js'
import { type VariationalStep, variationalStep } from '../diffusion/likelihood/variational-step.js'
import {
  type CleanRange,
  encoded,
  priorTerms,
  stratifiedTimes,
  type Term,
  variationalTerms,
} from '../diffusion/likelihood/variational-terms.js'
import { logVarianceClips } from '../diffusion/posterior.js'
import type { DiscreteSchedule } from '../diffusion/schedule.js'
import { DpmError, expected } from '../errors.js'
import { uniform } from '../random/philox.js'
import {
  defineLikelihoodMethod,
  type LikelihoodBatch,
  type LikelihoodModel,
  type LikelihoodRun,
  type MethodContext,
} from './likelihood-method.js'

const vlbSchema = z.strictObject({
  kind: z.literal('vlb'),
  times: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe('times per image above 0, one from each of so many parts of the schedule; null: every term'),
  paths: z
    .int()
    .min(1)
    .default(1)
    .describe('whole paths per image whose weights are averaged (importance-weighted bound); 1: the sum of the terms'),
  decoder: z
    .enum(discretizedGaussianKinds)
    .default('tanh')
    .describe('distribution function of the term at time 0: the published approximation, or exact; both are reported'),
  clip: z.boolean().default(true).describe('keep the predicted clean image in [-1, 1], as published numbers do'),
  logVarianceClip: z
    .enum(logVarianceClips)
    .default('second-step')
    .describe('log variance at time 0: that of time 1 (published numbers), or log 1e-20 (diffusers)'),
})

type VlbSettings = z.output<typeof vlbSchema>

/** Means over the images. */
export interface VlbDetails {
  readonly kind: 'vlb'
  /** The whole bound with each decoder, bits per dimension. */
  readonly decoders: Readonly<Record<DiscretizedGaussianKind, number>>
  /** Bits per dimension of the prior's term; null with several paths, which have no terms. */
  readonly prior: number | null
  /** Terms by time, where every image had all of them. */
  readonly terms: readonly {
    readonly time: number
    readonly bits: number
    readonly cleanError: number
    readonly noiseError: number
  }[]
  /** Rate–distortion of progressive lossy compression; empty without all terms. */
  readonly curve: readonly RateDistortionPoint[]
}

export const vlb = defineLikelihoodMethod({
  name: 'vlb',
  options: vlbSchema,
  start(model, settings): LikelihoodRun<VlbDetails> {
    const schedule = checkedSchedule(model, settings)
    const steps = Array.from({ length: schedule.steps }, (_, time) =>
      variationalStep(schedule, time, model.variance, settings.logVarianceClip),
    )
    const parts: Parts = { model, settings, schedule, steps, clip: settings.clip ? { low: -1, high: 1 } : null }
    return settings.paths > 1 ? new PathBound(parts) : new TermBound(parts)
  },
})

function checkedSchedule({ denoiser }: LikelihoodModel, { times, paths }: VlbSettings): DiscreteSchedule {
  const { schedule } = denoiser
  const { steps } = schedule
  if (steps === undefined) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The method "vlb" sums a term for each time of a discrete schedule, but time is continuous in schedule \`${schedule.name}\`. Use the method "continuous-vlb" or "ode".`,
    )
  }
  if (times !== null && times > steps - 1) {
    throw expected(
      `at most ${steps - 1} for a schedule of ${steps} times`,
      'times',
      times,
      'Leave it out for every term.',
      'DPM_INVALID_OPTION',
    )
  }
  if (times !== null && paths > 1) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`paths\` ${paths} weighs whole paths and \`times\` ${times} leaves parts of them out. Give one or the other.`,
    )
  }
  if (denoiser.encode && paths > 1) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`paths\` ${paths} weighs whole paths of the schedule's own forward process, and the model learned another. Use the sum of the terms, \`paths\` 1.`,
    )
  }
  return schedule as DiscreteSchedule
}

interface Parts {
  readonly model: LikelihoodModel
  readonly settings: VlbSettings
  readonly schedule: DiscreteSchedule
  /** By time. */
  readonly steps: readonly VariationalStep[]
  readonly clip: CleanRange
}

/** The terms that are asked about at once, one of each image, and how much each counts. */
interface Round {
  readonly steps: readonly VariationalStep[]
  readonly weight: number
}

/** The sum of terms: all of them, or those of some times of each image scaled up to the sum of all. */
class TermBound implements LikelihoodRun<VlbDetails> {
  readonly #parts: Parts
  readonly #decoders = zeroDecoders()
  readonly #sums: { bits: number; cleanError: number; noiseError: number }[]
  #prior = 0
  #images = 0

  constructor(parts: Parts) {
    this.#parts = parts
    this.#sums = parts.steps.map(() => ({ bits: 0, cleanError: 0, noiseError: 0 }))
  }

  async add({ values, examples }: LikelihoodBatch, { seed, signal, onProgress }: MethodContext): Promise<number[]> {
    const { model, settings, schedule, clip } = this.#parts
    const x = networkRange(values)
    const noisiest = schedule.level(schedule.noisiest)
    const last = await encoded(
      model.denoiser,
      x,
      examples.map(() => noisiest),
      signal,
    )
    const prior = priorTerms(schedule, last, examples.length)
    const bounds = prior.map((bits) => Object.fromEntries(discretizedGaussianKinds.map((kind) => [kind, bits])))
    const rounds = this.#rounds(examples, seed)
    for (const [done, { steps, weight }] of rounds.entries()) {
      const terms = await variationalTerms({ denoiser: model.denoiser, x, examples, steps, clip, seed, signal })
      for (const [n, term] of terms.entries()) {
        const bound = bounds[n] ?? {}
        for (const kind of discretizedGaussianKinds) bound[kind] = (bound[kind] ?? 0) + weight * term.bits[kind]
        this.#remember(term)
      }
      onProgress((done + 1) / rounds.length)
    }
    for (const [n, bound] of bounds.entries()) {
      for (const kind of discretizedGaussianKinds) this.#decoders[kind] += bound[kind] ?? Number.NaN
      this.#prior += prior[n] ?? 0
    }
    this.#images += examples.length
    return bounds.map((bound) => bound[settings.decoder] ?? Number.NaN)
  }

  details(): VlbDetails {
    const images = this.#images
    const prior = this.#prior / images
    const isFull = this.#parts.settings.times === null
    const terms = isFull
      ? this.#sums.map(({ bits, cleanError, noiseError }, time) => ({
          time,
          bits: bits / images,
          cleanError: cleanError / images,
          noiseError: noiseError / images,
        }))
      : []
    return {
      kind: 'vlb',
      decoders: meanDecoders(this.#decoders, images),
      prior,
      terms,
      curve: isFull ? rateDistortionCurve(prior, terms) : [],
    }
  }

  #rounds(examples: readonly number[], seed: number): Round[] {
    const { steps, schedule, settings } = this.#parts
    const { times } = settings
    const all = (step: VariationalStep): VariationalStep[] => examples.map(() => step)
    if (times === null) return steps.map((step) => ({ steps: all(step), weight: 1 }))
    const chosen = examples.map((example) =>
      stratifiedTimes(
        schedule,
        Array.from({ length: times }, (_, k) => uniform(seed, 'time', k, example)),
      ),
    )
    const sampled = Array.from({ length: times }, (_, k) => ({
      steps: chosen.flatMap((ofImage) => steps[ofImage[k] ?? 0] ?? []),
      weight: (schedule.steps - 1) / times,
    }))
    return [...steps.slice(0, 1).map((step) => ({ steps: all(step), weight: 1 })), ...sampled]
  }

  #remember({ time, bits, cleanError, noiseError }: Term): void {
    const sum = this.#sums[time]
    if (!sum) return
    sum.bits += bits[this.#parts.settings.decoder]
    sum.cleanError += cleanError
    sum.noiseError += noiseError
  }
}

/** The importance-weighted bound of whole paths. */
class PathBound implements LikelihoodRun<VlbDetails> {
  readonly #parts: Parts
  readonly #decoders = zeroDecoders()
  #images = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async add(batch: LikelihoodBatch, { seed, signal, onProgress }: MethodContext): Promise<number[]> {
    const { model, settings, schedule, steps, clip } = this.#parts
    const { examples, elements } = batch
    const x = networkRange(batch.values)
    const weights = examples.map(() => Object.fromEntries(discretizedGaussianKinds.map((kind) => [kind, [0].slice(1)])))
    let done = 0
    const onTime = (): void => onProgress(++done / (settings.paths * schedule.steps))
    for (let path = 0; path < settings.paths; path++) {
      const { denoiser } = model
      const ofPath = await pathWeights({ denoiser, schedule, steps, x, examples, path, clip, seed, signal, onTime })
      for (const [n, weight] of ofPath.entries()) {
        for (const kind of discretizedGaussianKinds) weights[n]?.[kind]?.push(weight[kind])
      }
    }
    this.#images += examples.length
    return weights.map((ofImage) => {
      const bits = (kind: DiscretizedGaussianKind): number =>
        bitsPerDimension(-logMeanExp(ofImage[kind] ?? []), elements)
      for (const kind of discretizedGaussianKinds) this.#decoders[kind] += bits(kind)
      return bits(settings.decoder)
    })
  }

  details(): VlbDetails {
    return { kind: 'vlb', decoders: meanDecoders(this.#decoders, this.#images), prior: null, terms: [], curve: [] }
  }
}

/** 8-bit values as networks see them, k / 127.5 - 1. */
function networkRange(values: ExampleValues): Float64Array {
  return Float64Array.from(values, (value) => value / 127.5 - 1)
}

function zeroDecoders(): Record<DiscretizedGaussianKind, number> {
  return { tanh: 0, erf: 0 }
}

function meanDecoders(
  sums: Readonly<Record<DiscretizedGaussianKind, number>>,
  images: number,
): Record<DiscretizedGaussianKind, number> {
  return { tanh: sums.tanh / images, erf: sums.erf / images }
}
