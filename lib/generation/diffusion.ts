/** A trained model: a network with its (averaged) weights, its diffusion process, and what it was trained on. */
import { withCallback } from '../callback.js'
import type { Columns, ImageShape } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { DpmError, expected } from '../errors.js'
import { Images } from '../images/image-batch.js'
import type { Network } from '../networks/network.js'
import { type Checks, checks, readOptions, required } from '../options/call-options.js'
import { type Seed, seedNumber } from '../options/seed.js'
import type { Program } from '../sampling/program.js'
import { Tensor } from '../tensor/tensor.js'
import { toImages } from './gallery.js'
import {
  type GenerateOptions,
  type Generation,
  recordGeneration,
  type Source,
  startGeneration,
  stepsOf,
} from './generate.js'
import { generateChecks } from './generate-checks.js'
import { type LoadedModel, type LoadOptions, loadModel } from './load-model.js'
import type { ModelSettings } from './model-options.js'
import { drawNoise, interpolateNoise } from './noise.js'
import { type PartsOptions, partsOf } from './parts.js'
import { pictureTensor } from './pictures.js'
import { countOf } from './run-size.js'
import { Vectors } from './vectors.js'

/** One step of a sampling run. The tensors are the caller's to dispose of. */
export interface SampleStep {
  /** 1 … steps. */
  readonly step: number
  readonly steps: number
  /** N×C×H×W in the network's range: the state of the run. */
  readonly x: Tensor<'float32'>
  /** The clean image that the network predicts from it. */
  readonly clean: Tensor<'float32'>
}

export interface SampleProgress {
  readonly step: number
  readonly steps: number
}

interface ProgressOption {
  /**
   * Told each step while native code goes on. What it throws, and what a promise that it returns rejects with, ends the
   * run and is what the call rejects with; the call waits for such promises, the steps do not.
   */
  readonly onProgress?: ((progress: SampleProgress) => unknown) | undefined
}

const drawingChecks: Checks<GenerateOptions & ProgressOption> = { ...generateChecks, onProgress: checks.callback }
const batchChecks: Checks<SampleBatchesOptions> = {
  ...generateChecks,
  onProgress: checks.callback,
  skip: checks.callback,
}
const noiseChecks = { seed: checks.any, samples: required(checks.numbers) }
const { steps, spacing, classes, chunk, signal } = generateChecks
const invertChecks = { steps, spacing, classes, chunk, signal }

/** How far `sampleBatches` is: the step of the batch under way, and the samples of those before. */
export interface BatchProgress extends SampleProgress {
  /** Samples that are finished, without those that were skipped. */
  readonly drawn: number
  /** Samples that were asked for. */
  readonly count: number
}

export type SampleBatchesOptions = GenerateOptions &
  PartsOptions & {
    /** As of `sample`. */
    readonly onProgress?: ((progress: BatchProgress) => unknown) | undefined
  }

/** Samples that are finished: which ones. */
export interface FinishedSamples {
  /** Their places among all that were asked for, 0 … count-1. */
  readonly places: readonly number[]
  /** Their noise keys: the numbers of the images. */
  readonly samples: readonly number[]
  /** Class index of each; null where the network was told none. */
  readonly classes: Int32Array | null
}

export interface SampleBatch extends FinishedSamples {
  readonly images: Images
}

export interface VectorBatch extends FinishedSamples {
  readonly vectors: Vectors
}

export class Diffusion implements Disposable {
  readonly settings: ModelSettings
  readonly process: DiffusionProcess
  readonly network: Network
  readonly image: ImageShape
  /** Class names by index; empty for an unconditional model. */
  readonly classes: readonly string[]
  /** Updates that the weights have seen. */
  readonly step: number
  /** What is drawn from, for those that draw without this class. */
  readonly source: Source

  private constructor(model: LoadedModel) {
    const { settings, process, network, image, classes, step, device, precision, condition } = model
    this.settings = settings
    this.process = process
    this.network = network
    this.image = image
    this.classes = classes
    this.step = step
    this.source = {
      network: network.handle,
      device,
      precision,
      process,
      image,
      classes,
      nullClass: settings.network.nullClass,
      conditionChannels: network.settings.conditionChannels,
      condition,
      sampling: settings.sampling,
    }
  }

  /**
   * Loads the latest checkpoint of a run folder, or a checkpoint file.
   * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID, DPM_DEVICE_UNAVAILABLE, DPM_INVALID_ARGUMENT for weights it lacks,
   *   DPM_INVALID_OPTION for a classifier, which draws nothing, DPM_NOT_TRUSTED for a TorchScript module without `trust`.
   */
  static async load(path: string, options: LoadOptions = {}): Promise<Diffusion> {
    return new Diffusion(await loadModel(path, options, 'images'))
  }

  /** Steps that these options take, as progress counts them. @throws DpmError naming the options that do not fit. */
  stepsOf(options: GenerateOptions = {}): number {
    return stepsOf(this.source, options)
  }

  /** The program that these options record, without running it. */
  record(options: GenerateOptions = {}): Program {
    return recordGeneration(this.source, options)
  }

  /**
   * Draws images. In the same program, image k of a seed is the same whatever else is drawn.
   * @throws DpmError DPM_INVALID_OPTION, DPM_ABORTED, DPM_OUT_OF_MEMORY
   */
  async sample(asked: GenerateOptions & ProgressOption = {}): Promise<Images> {
    requirePictures(this.image)
    const { onProgress, ...options } = readOptions('sample', asked, drawingChecks)
    using generation = await startGeneration(this.source, options)
    return await drawAll(generation, { signal: options.signal, onProgress }, this.image)
  }

  /** Draws vectors, in their columns' own units, from a model of vectors. Otherwise as `sample`. */
  async sampleVectors(asked: GenerateOptions & ProgressOption = {}): Promise<Vectors> {
    const columns = columnsOf(this.image)
    const { onProgress, ...options } = readOptions('sampleVectors', asked, drawingChecks)
    using generation = await startGeneration(this.source, options)
    await runToEnd(generation, { signal: options.signal, onProgress })
    using output = await generation.run.read('output')
    return Vectors.fromFloats(await output.data(), columns, generation.classes)
  }

  /**
   * The images of `sample`, to the bit, a network call's chunk at a time as they are finished: memory does not grow with `count`, and an
   * end before the last loses only the chunk under way. Leaving the loop ends the run and frees it.
   * @throws as `sample`
   */
  async *sampleBatches(options: SampleBatchesOptions = {}): AsyncGenerator<SampleBatch, void, undefined> {
    requirePictures(this.image)
    for await (const { generation, run, ...finished } of this.#batches('sampleBatches', options)) {
      yield { ...finished, images: await drawAll(generation, run, this.image) }
    }
  }

  /** Vectors in the same way. */
  async *sampleVectorBatches(options: SampleBatchesOptions = {}): AsyncGenerator<VectorBatch, void, undefined> {
    const columns = columnsOf(this.image)
    for await (const { generation, run, ...finished } of this.#batches('sampleVectorBatches', options)) {
      await runToEnd(generation, run)
      using output = await generation.run.read('output')
      yield { ...finished, vectors: Vectors.fromFloats(await output.data(), columns, generation.classes) }
    }
  }

  /** Each part as it is prepared, progress counted over all. */
  async *#batches(name: string, asked: SampleBatchesOptions) {
    const { onProgress, skip, ...options } = readOptions(name, asked, batchChecks)
    const count = countOf(options)
    let drawn = 0
    for await (const { places, samples, options: ofPart } of partsOf(this.source, options, { skip })) {
      using generation = await startGeneration(this.source, ofPart)
      const before = drawn
      const told = onProgress && ((one: SampleProgress) => onProgress({ ...one, drawn: before, count }))
      const run = { signal: options.signal, onProgress: told }
      yield { places, samples, classes: generation.classes, generation, run }
      drawn += places.length
    }
  }

  /** The same step by step: leaving the loop ends the run and frees it. */
  async *sampleSteps(options: GenerateOptions = {}): AsyncGenerator<SampleStep, Images, undefined> {
    requirePictures(this.image)
    using generation = await startGeneration(this.source, options)
    const { run, steps } = generation
    for (let shown = 0; ; ) {
      const { step, done } = await run.advance(1, { signal: options.signal })
      // The last step is shown too: the program may end with it.
      if (step > shown) {
        shown = step
        yield { step, steps, x: await run.read('x'), clean: await run.read('clean') }
      }
      if (done) return await toImages(await run.read('output'), this.image)
    }
  }

  /** x at the first level of the samples with these noise keys: N×C×H×W, as `sample` begins with it. */
  async noise(asked: { readonly seed?: Seed; readonly samples: readonly number[] }): Promise<Tensor<'float32'>> {
    const { seed = 0, samples } = readOptions('noise', asked, noiseChecks)
    return drawNoise(this.source, seedNumber(seed), samples)
  }

  /**
   * The noise that images come out of (DDIM inversion): `sample({ initial })` with the same steps, spacing and classes
   * gives them back, the nearer the more steps.
   * @returns N×C×H×W
   */
  async invert(
    images: Images,
    asked: Pick<GenerateOptions, 'steps' | 'spacing' | 'classes' | 'chunk' | 'signal'> = {},
  ): Promise<Tensor<'float32'>> {
    const options = readOptions('invert', asked, invertChecks)
    if (!(images instanceof Images)) throw expected('Images', 'images', images)
    using initial = pictureTensor(images, this.image, images.length, 'images')
    using generation = await startGeneration(this.source, {
      ...options,
      count: images.length,
      sampler: 'ddim-inversion',
      initial,
    })
    await generation.run.advance(Number.POSITIVE_INFINITY, { signal: options.signal })
    return generation.run.read('output')
  }

  /**
   * Images between two: from the noise of one to that of the other along a sphere, each drawn by a sampler that adds no
   * noise of its own.
   * @param between 1×C×H×W each: of `noise`, or of `invert`
   */
  async interpolate(between: readonly [Tensor, Tensor], asked: GenerateOptions & ProgressOption = {}): Promise<Images> {
    const options = readOptions('interpolate', asked, drawingChecks)
    const { count = 8 } = options
    if (!Array.isArray(between) || between.length !== 2 || !between.every((one) => one instanceof Tensor)) {
      throw expected('two tensors', 'between', between)
    }
    using initial = await interpolateNoise(between[0], between[1], count)
    return this.sample({ ...options, count, initial })
  }

  dispose(): void {
    this.network.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/** @throws DpmError DPM_INVALID_OPTION for a model of vectors. */
function requirePictures({ columns }: ImageShape): void {
  if (!columns) return
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `The model draws vectors of ${columns.names.join(', ')}, not pictures. Use \`sampleVectors\`.`,
  )
}

/** @throws DpmError DPM_INVALID_OPTION for a model of pictures. */
function columnsOf({ columns }: ImageShape): Columns {
  if (columns) return columns
  throw new DpmError('DPM_INVALID_OPTION', 'The model draws pictures, not vectors. Use `sample`.')
}

interface RunToEndOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ProgressOption['onProgress']
}

async function runToEnd({ run, steps }: Generation, { onProgress, signal }: RunToEndOptions): Promise<void> {
  await withCallback(onProgress, async (tell) => {
    const listener = tell && (({ step }: { step: number }) => tell({ step, steps }))
    await run.advance(Number.POSITIVE_INFINITY, { signal, ...(listener ? { onProgress: listener } : {}) })
  })
}

/** Runs a prepared generation to its end. */
export async function drawAll(generation: Generation, options: RunToEndOptions, image: ImageShape): Promise<Images> {
  await runToEnd(generation, options)
  return toImages(await generation.run.read('output'), image)
}
