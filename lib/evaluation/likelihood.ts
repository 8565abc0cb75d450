/**
 * The likelihood of images in bits per dimension, -log2 P(x) / D of 8-bit data: one definition for every family of model,
 * computed by the variational bound or by the probability flow, with its error and the protocol that it was computed by. Of
 * vectors it is -log2 p(x) / D of the density of the columns in their own units.
 */
import * as z from 'zod'
import { withCallback } from '../callback.js'
import { batchOrder } from '../datasets/batches.js'
import type { DataSet } from '../datasets/data-set.js'
import { requireDataSet } from '../datasets/data-set.js'
import { roomFor } from '../datasets/memory-data-set.js'
import { scaledAs } from '../datasets/vectors.js'
import { DpmError, expected, throwIfAborted } from '../errors.js'
import { type Checks, checks, readOptions } from '../options/call-options.js'
import { type KindSchema, nameOrOptions, schemasOf } from '../options/kind-schema.js'
import { parseOptions } from '../options/options.js'
import { parseSeed, type Seed, seedNumber } from '../options/seed.js'
import { type ContinuousVlbDetails, continuousVlb } from './continuous-likelihood.js'
import { type OdeDetails, ode } from './flow-likelihood.js'
import type { LikelihoodMethod, LikelihoodModel } from './likelihood-method.js'
import { type VlbDetails, vlb } from './variational-likelihood.js'

/** Every way of computing a likelihood, by kind. A new one is a file beside this one and a line here. */
export const likelihoods = { vlb, 'continuous-vlb': continuousVlb, ode } satisfies Record<
  string,
  LikelihoodMethod<KindSchema, LikelihoodDetails>
>

/** What a method found beside the bits per dimension; `kind` says which. */
export type LikelihoodDetails = VlbDetails | ContinuousVlbDetails | OdeDetails

export const likelihoodSchema = nameOrOptions(z.discriminatedUnion('kind', schemasOf(likelihoods)))
export type LikelihoodMethodOptions = z.input<typeof likelihoodSchema>
export type LikelihoodMethodSettings = z.output<typeof likelihoodSchema>

export interface LikelihoodOptions {
  /** `vlb`, `continuous-vlb` or `ode`, or the options of one. */
  readonly method: LikelihoodMethodOptions
  /** How many images, chosen by the seed; all of the data when absent. */
  readonly images?: number | undefined
  /** Images on their way at once; 64 when absent. No result depends on it. */
  readonly batch?: number | undefined
  /** Keys of all noise; 0 when absent. */
  readonly seed?: Seed | undefined
  readonly signal?: AbortSignal | undefined
  /** Waited for at the end where it returns promises; what it throws or rejects with is what the call rejects with. */
  readonly onProgress?: ((progress: LikelihoodProgress) => unknown) | undefined
}

export interface LikelihoodProgress {
  /** Images done; a part of a batch counts as that part of its images. */
  readonly done: number
  readonly images: number
  /** Mean of the images that are wholly done; NaN before the first batch. */
  readonly bitsPerDimension: number
}

export interface LikelihoodResult {
  /** Mean over the images of -log2 P / D, or of a bound on it. */
  readonly bitsPerDimension: number
  /** Of that mean: the deviation between images over the square root of their number; null for a single image. */
  readonly standardError: number | null
  /** What the number depends on: results are comparable where all of this is equal. */
  readonly protocol: {
    readonly method: LikelihoodMethodSettings
    /** Digits where a number would not be exact. */
    readonly seed: number | string
    readonly data: string
    readonly images: number
    /** All of the data, or a part chosen by the seed. */
    readonly whole: boolean
    readonly shape: readonly [number, number, number]
    readonly schedule: string
    readonly variance: string
    /** The model's own part: weights, precision, condition …; empty for a denoiser written in JavaScript. */
    readonly model: Readonly<Record<string, string | number | boolean>>
  }
  /** What else the method found: terms, both decoders and the rate–distortion curve, or the number of evaluations. */
  readonly details: LikelihoodDetails
  /** Bits per dimension of each image, and which images these are. */
  readonly each: readonly { readonly example: number; readonly bitsPerDimension: number }[]
}

/**
 * Runs a model over images of a data set.
 * @throws DpmError DPM_INVALID_OPTION where model and method do not fit together, DPM_NON_FINITE, DPM_ABORTED.
 */
export async function evaluateLikelihood(
  model: LikelihoodModel,
  given: DataSet,
  asked: LikelihoodOptions,
): Promise<LikelihoodResult> {
  requireModel(model)
  requireDataSet(given)
  const { onProgress, ...options } = readOptions('evaluateLikelihood', asked, likelihoodChecks)
  return withCallback(onProgress, (tell) => evaluate(model, given, options, tell))
}

const likelihoodChecks: Checks<LikelihoodOptions> = {
  method: checks.any,
  images: checks.any,
  batch: checks.any,
  seed: checks.any,
  signal: checks.signal,
  onProgress: checks.callback,
}

function requireModel(model: LikelihoodModel): void {
  const { denoiser, variance } = Object(model) as Partial<LikelihoodModel>
  if (typeof denoiser === 'object' && denoiser !== null && typeof variance === 'string') return
  throw expected('a model, such as `likelihoodModel` makes of one,', 'model', model)
}

async function evaluate(
  model: LikelihoodModel,
  given: DataSet,
  options: Omit<LikelihoodOptions, 'onProgress'>,
  onProgress: ((progress: LikelihoodProgress) => void) | undefined,
): Promise<LikelihoodResult> {
  const dataSet = model.columns ? scaledAs(given, model.columns) : given
  const { batch = 64, signal } = options
  const seed = seedNumber(options.seed ?? 0)
  const method = parseOptions(likelihoodSchema, options.method, 'likelihood')
  const definition: LikelihoodMethod<KindSchema, LikelihoodDetails> = likelihoods[method.kind]
  const images = options.images ?? dataSet.length
  for (const [name, value, most] of [
    ['images', images, dataSet.length],
    ['batch', batch, 65_536],
  ] as const) {
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw expected(`a whole number from 1 to ${most}`, name, value, '', 'DPM_INVALID_OPTION')
    }
  }
  if (dataSet.columns && !definition.takesVectors) {
    const able = Object.entries(likelihoods).flatMap(([kind, { takesVectors }]) => (takesVectors ? [`"${kind}"`] : []))
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The method "${method.kind}" is of 8-bit values, and the data set ${dataSet.name} has vectors. Use the method ${able.join(' or ')}.`,
    )
  }
  const run = definition.start(model, method)
  const { channels, height, width } = dataSet
  const elements = channels * height * width
  // In the order of the files, which reads them once; all of them whatever the seed.
  const chosen = batchOrder(dataSet.length, images, seed, 0).indices.toSorted()
  const bits: number[] = []
  for (let begin = 0; begin < images; begin += batch) {
    throwIfAborted(signal, 'The likelihood')
    const examples = [...chosen.subarray(begin, begin + batch)]
    const values = roomFor(dataSet, examples.length)
    await dataSet.read(examples, values, signal)
    const mean = meanOf(bits)
    const report = (fraction: number): void =>
      onProgress?.({ done: begin + fraction * examples.length, images, bitsPerDimension: mean })
    bits.push(
      ...(await run.add(
        { values, examples, elements, columns: dataSet.columns },
        { seed, signal, onProgress: report },
      )),
    )
    onProgress?.({ done: bits.length, images, bitsPerDimension: meanOf(bits) })
  }
  return {
    bitsPerDimension: meanOf(bits),
    standardError: standardErrorOf(bits),
    protocol: {
      method,
      seed: parseSeed(options.seed ?? 0),
      data: dataSet.name,
      images,
      whole: images === dataSet.length,
      shape: [channels, height, width],
      schedule: model.denoiser.schedule.name,
      variance: model.variance,
      model: model.description ?? {},
    },
    details: run.details(),
    each: bits.map((bitsPerDimension, n) => ({ example: chosen[n] ?? -1, bitsPerDimension })),
  }
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length
}

function standardErrorOf(values: readonly number[]): number | null {
  if (values.length < 2) return null
  const mean = meanOf(values)
  const squares = values.reduce((sum, one) => sum + (one - mean) ** 2, 0)
  return Math.sqrt(squares / (values.length - 1) / values.length)
}
