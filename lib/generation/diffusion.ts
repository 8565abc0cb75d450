/** A trained model: a network with its (averaged) weights, its diffusion process, and what it was trained on. */
import type { Checkpoint } from '../checkpoints/checkpoint.js'
import { readCheckpoint } from '../checkpoints/checkpoint-folder.js'
import type { Columns, ImageShape } from '../datasets/data-set.js'
import { createProcess, type DiffusionProcess } from '../diffusion/diffusion-options.js'
import { isLearned } from '../diffusion/posterior.js'
import { DpmError, expected } from '../errors.js'
import type { Images } from '../images/image-batch.js'
import { type Precision, resolveDevice } from '../native/device.js'
import { Network } from '../networks/network.js'
import { parseOptions } from '../options/options.js'
import type { Program } from '../sampling/program.js'
import { Tensor, type TensorSource } from '../tensor/tensor.js'
import type { Condition } from './conditions/condition.js'
import { conditionedNetwork, createCondition } from './conditions/list.js'
import { toImages } from './gallery.js'
import {
  type GenerateOptions,
  type Generation,
  recordGeneration,
  type Source,
  startGeneration,
  stepsOf,
} from './generate.js'
import { restoreLearned } from './learned-tensors.js'
import { type ModelSettings, modelSchema } from './model-options.js'
import { drawNoise, interpolateNoise } from './noise.js'
import { pictureTensor } from './pictures.js'
import { Vectors } from './vectors.js'

export interface LoadOptions {
  /** `auto` when absent. */
  readonly device?: string
  /** Arithmetic of the network; the run's own when absent. */
  readonly precision?: Precision
  /** Which weights: an averaged copy's index, or `trained`; the first averaged copy where there is one when absent. */
  readonly weights?: number | 'trained'
}

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

  private constructor(
    settings: ModelSettings,
    process: DiffusionProcess,
    network: Network,
    condition: Condition | undefined,
    device: string,
    precision: Precision,
    checkpoint: Checkpoint,
  ) {
    this.settings = settings
    this.process = process
    this.network = network
    this.image = checkpoint.image
    this.classes = settings.network.classConditional ? checkpoint.classes : []
    this.step = checkpoint.step
    this.source = {
      network: network.handle,
      device,
      precision,
      process: this.process,
      image: this.image,
      classes: this.classes,
      nullClass: settings.network.nullClass,
      conditionChannels: network.settings.conditionChannels,
      condition,
      sampling: settings.sampling,
    }
  }

  /**
   * Loads the latest checkpoint of a run folder, or a checkpoint file.
   * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID, DPM_DEVICE_UNAVAILABLE, DPM_INVALID_ARGUMENT for weights it lacks.
   */
  static async load(path: string, options: LoadOptions = {}): Promise<Diffusion> {
    await using checkpoint = await readCheckpoint(path)
    const settings = parseOptions(modelSchema, checkpoint.settings, checkpoint.path)
    const prefix = weightsPrefix(checkpoint, options.weights)
    const device = await resolveDevice(options.device ?? 'auto')
    const classes = settings.network.classConditional ? checkpoint.classes.length : 0
    const outputs = isLearned(settings.diffusion.variance) ? 2 : 1
    const condition = createCondition(settings.condition, checkpoint.image)
    const network = await Network.build(conditionedNetwork(settings.network, condition), {
      image: checkpoint.image,
      classes,
      outputs,
      device,
    })
    try {
      await readWeights(checkpoint, network, prefix)
      const process = createProcess(settings.diffusion)
      await restoreLearned(checkpoint, process.learners)
      return new Diffusion(
        settings,
        process,
        network,
        condition,
        device,
        options.precision ?? settings.precision,
        checkpoint,
      )
    } catch (error) {
      network.dispose()
      throw error
    }
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
  async sample(
    options: GenerateOptions & { readonly onProgress?: (progress: SampleProgress) => void } = {},
  ): Promise<Images> {
    requirePictures(this.image)
    using generation = await startGeneration(this.source, options)
    return await drawAll(generation, options, this.image)
  }

  /** Draws vectors, in their columns' own units, from a model of vectors. Otherwise as `sample`. */
  async sampleVectors(
    options: GenerateOptions & { readonly onProgress?: (progress: SampleProgress) => void } = {},
  ): Promise<Vectors> {
    const columns = columnsOf(this.image)
    using generation = await startGeneration(this.source, options)
    await runToEnd(generation, options)
    using output = await generation.run.read('output')
    return Vectors.fromFloats(await output.data(), columns, generation.classes)
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
  async noise(options: { readonly seed?: number; readonly samples: readonly number[] }): Promise<Tensor<'float32'>> {
    return drawNoise(this.source, options.seed ?? 0, options.samples)
  }

  /**
   * The noise that images come out of (DDIM inversion): `sample({ initial })` with the same steps, spacing and classes
   * gives them back, the nearer the more steps.
   * @returns N×C×H×W
   */
  async invert(
    images: Images,
    options: Pick<GenerateOptions, 'steps' | 'spacing' | 'classes' | 'chunk' | 'signal'> = {},
  ): Promise<Tensor<'float32'>> {
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
  async interpolate(
    between: readonly [Tensor, Tensor],
    options: GenerateOptions & { readonly onProgress?: (progress: SampleProgress) => void } = {},
  ): Promise<Images> {
    const { count = 8 } = options
    using initial = await interpolateNoise(...between, count)
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
  readonly onProgress?: ((progress: SampleProgress) => void) | undefined
}

async function runToEnd({ run, steps }: Generation, { onProgress, signal }: RunToEndOptions): Promise<void> {
  await run.advance(Number.POSITIVE_INFINITY, {
    signal,
    ...(onProgress ? { onProgress: ({ step }: { step: number }) => onProgress({ step, steps }) } : {}),
  })
}

/** Runs a prepared generation to its end. */
export async function drawAll(generation: Generation, options: RunToEndOptions, image: ImageShape): Promise<Images> {
  await runToEnd(generation, options)
  return toImages(await generation.run.read('output'), image)
}

function weightsPrefix(checkpoint: Checkpoint, weights: LoadOptions['weights']): string {
  const copies = checkpoint.averages
  if (weights === 'trained' || (weights === undefined && copies === 0)) return 'network'
  const index = weights ?? 0
  if (Number.isInteger(index) && index >= 0 && index < copies) return `average.${index}`
  throw expected(
    copies === 0 ? '`trained`' : `\`trained\` or an index below ${copies}`,
    'weights',
    weights,
    `${checkpoint.path} holds ${copies} averaged cop${copies === 1 ? 'y' : 'ies'}.`,
  )
}

/** Reads a network's parameters from a checkpoint. @throws DpmError DPM_FILE_INVALID naming what is missing or misshapen. */
export async function readWeights(checkpoint: Checkpoint, network: Network, prefix: string): Promise<void> {
  for (const { name, shape } of network.parameters) {
    using tensor = await readTensor(checkpoint, `${prefix}.${name}`, shape)
    await network.write(name, tensor)
  }
}

/** One float32 tensor of a checkpoint. */
export async function readTensor(checkpoint: Checkpoint, name: string, shape: readonly number[]): Promise<Tensor> {
  const info = checkpoint.info(name)
  if (info?.dtype !== 'float32' || info.shape.join() !== shape.join()) {
    const found = info ? `${info.dtype} of shape ${info.shape.join('×')}` : 'nothing'
    throw new DpmError(
      'DPM_FILE_INVALID',
      `Expected float32 of shape ${shape.join('×')} for the tensor "${name}" in ${checkpoint.path} but found ${found}.`,
    )
  }
  const bytes = await checkpoint.read(name)
  const values: TensorSource = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  return Tensor.from(values, shape)
}
