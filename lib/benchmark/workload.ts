/** A run's network at work on made-up data: its training steps, and its evaluations as sampling makes them. */
import { type Batch, createBatches } from '../datasets/batches.js'
import type { DataSet } from '../datasets/data-set.js'
import type { PublishedShape } from '../datasets/define-data-set.js'
import { createProcess, type DiffusionProcess } from '../diffusion/diffusion-options.js'
import { isLearned } from '../diffusion/posterior.js'
import { requireTrainable } from '../diffusion/trainable.js'
import { DpmError } from '../errors.js'
import { conditionedNetwork, createCondition } from '../generation/conditions/list.js'
import { type ProfileHandle, rowFields, type TensorHandle } from '../native/binding.js'
import { call, callSync } from '../native/call.js'
import { resolveDevice } from '../native/device.js'
import { knownClasses, requireProcess } from '../networks/list.js'
import { Network } from '../networks/network.js'
import { seedNumber } from '../options/seed.js'
import { noisePurposes } from '../random/purposes.js'
import { Tensor } from '../tensor/tensor.js'
import type { RunSettings } from '../training/run-options.js'
import { TrainState } from '../training/train-state.js'
import { runUpdate } from '../training/update.js'
import { requireVectors } from '../training/vector-run.js'
import { madeUpData } from './made-up-data.js'

/** Small, so that weights stay what a first step has. */
const learningRate = 1e-4
const averagingDecay = 0.999

/** What an evaluation is given. */
interface Inputs {
  readonly x: TensorHandle
  readonly labels: Float64Array
  readonly classes: Int32Array | null
  readonly beside: Tensor | undefined
}

export class Workload implements AsyncDisposable {
  readonly settings: RunSettings
  readonly dataSet: DataSet
  /** `cpu` or `cuda:N`. */
  readonly device: string
  readonly #process: DiffusionProcess
  readonly #state: TrainState
  readonly #batches: AsyncGenerator<Batch, never, undefined>
  readonly #inputs: Inputs
  #step = 0

  private constructor(parts: {
    settings: RunSettings
    dataSet: DataSet
    device: string
    process: DiffusionProcess
    state: TrainState
    batches: AsyncGenerator<Batch, never, undefined>
    inputs: Inputs
  }) {
    this.settings = parts.settings
    this.dataSet = parts.dataSet
    this.device = parts.device
    this.#process = parts.process
    this.#state = parts.state
    this.#batches = parts.batches
    this.#inputs = parts.inputs
  }

  /**
   * Makes up the data and builds network and optimizer.
   * @param shape of the data; as it is published when undefined.
   * @throws DpmError DPM_INVALID_OPTION, DPM_DEVICE_UNAVAILABLE, DPM_OUT_OF_MEMORY, and what opening the data throws where only
   *   its files say its shape
   */
  static async create(
    settings: RunSettings,
    shape: PublishedShape | undefined,
    signal?: AbortSignal,
  ): Promise<Workload> {
    requireTrainable(settings.diffusion)
    requireProcess(settings.network, settings.diffusion)
    const process = createProcess(settings.diffusion)
    const device = await resolveDevice(settings.device)
    const { batch, flip } = settings.training
    const dataSet = await madeUpData(settings.data, batch, shape, signal)
    let state: TrainState | undefined
    try {
      requireVectors(settings, dataSet)
      if (settings.threads !== null) await call(signal, (binding) => binding.setThreads(settings.threads ?? 1))
      const condition = createCondition(settings.condition, dataSet)
      const network = await Network.build(conditionedNetwork(settings.network, condition), {
        image: dataSet,
        classes: knownClasses(settings.network, dataSet.classes).length,
        outputs: isLearned(settings.diffusion.variance) ? 2 : 1,
        seed: seedNumber(settings.seed),
        device,
      })
      state = await TrainState.create(network, settings).catch((error: unknown) => {
        network.dispose()
        throw error
      })
      const batches = createBatches(dataSet, {
        batch,
        seed: seedNumber(settings.seed),
        flip,
        beside: condition?.ofImages,
        signal,
      })
      const { value: first } = await batches.next()
      const inputs = await inputsOf(settings, process, dataSet, first, device)
      return new Workload({ settings, dataSet, device, process, state, batches, inputs })
    } catch (error) {
      state?.dispose()
      await dataSet.close()
      throw error
    }
  }

  /** Trainable numbers of the network. */
  get size(): number {
    return this.#state.network.size
  }

  /** The next batch, read before it is timed. */
  async nextBatch(): Promise<Batch> {
    return (await this.#batches.next()).value
  }

  /** One whole update. @throws DpmError DPM_NON_FINITE */
  async train(batch: Batch, signal?: AbortSignal, profile?: ProfileHandle): Promise<void> {
    const averagingDecays = this.settings.training.averaging.map(() => averagingDecay)
    this.#step += 1
    const { finite } = await runUpdate(
      { settings: this.settings, dataSet: this.dataSet, process: this.#process, profile },
      this.#state,
      batch,
      { learningRate, step: this.#step, averagingDecays },
      signal,
    )
    if (!finite) {
      throw new DpmError(
        'DPM_NON_FINITE',
        `The loss or its gradient is not finite at step ${this.#step}: no update is made, so none can be timed. Choose another precision.`,
      )
    }
  }

  /** One evaluation of the averaged copy for a batch, without a gradient. */
  async evaluate(signal?: AbortSignal, profile?: ProfileHandle): Promise<void> {
    const { x, labels, classes, beside } = this.#inputs
    const image = beside?.handle ?? null
    const { precision } = this.settings
    const pass = await call(signal, (binding, cancellation) =>
      binding.networkForward(
        this.#state.averaged,
        x,
        labels,
        classes,
        image,
        false,
        precision,
        cancellation,
        profile ?? null,
      ),
    )
    callSync((binding) => binding.dispose(pass))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    callSync((binding) => binding.dispose(this.#inputs.x))
    this.#inputs.beside?.dispose()
    this.#state.dispose()
    await this.#batches.return(undefined as never)
    await this.dataSet.close()
  }
}

/** Noise as x at the times that training would draw, and the classes and images of a batch. */
async function inputsOf(
  settings: RunSettings,
  process: DiffusionProcess,
  dataSet: DataSet,
  batch: Batch,
  device: string,
): Promise<Inputs> {
  const { indices, epochs, step } = batch
  const { rows } = process.objective.draw({ seed: seedNumber(settings.seed), step, epochs, examples: indices })
  const column = rowFields.indexOf('cNoise')
  const { channels, height, width } = dataSet
  const shape = [indices.length, channels, height, width]
  const knows = knownClasses(settings.network, dataSet.classes).length > 0
  return {
    x: await call(undefined, (binding) =>
      binding.randomNormal(seedNumber(settings.seed), noisePurposes.initial, 0, indices, shape, device),
    ),
    labels: Float64Array.from(indices, (_, i) => rows[i * rowFields.length + column] ?? 0),
    classes: knows && settings.network.classConditional ? batch.classes : null,
    beside: batch.beside
      ? Tensor.from(batch.beside, [
          indices.length,
          batch.beside.length / indices.length / (height * width),
          height,
          width,
        ])
      : undefined,
  }
}
