/** The native side of a training run: network, optimizer and averaged copies, and their way into and out of checkpoints. */
import type { Checkpoint, CheckpointTensor } from '../checkpoints/checkpoint.js'
import type { DataSet, ImageShape } from '../datasets/data-set.js'
import { DpmError, show } from '../errors.js'
import { readTensor, readWeights } from '../generation/load-model.js'
import type { NativeBatch, NativeStepReport, NetworkHandle, ProfileHandle, TrainingHandle } from '../native/binding.js'
import { call, callSync } from '../native/call.js'
import type { Network } from '../networks/network.js'
import { parseOptions } from '../options/options.js'
import { seedNumber } from '../options/seed.js'
import { Tensor } from '../tensor/tensor.js'
import { type AveragingSettings, averagingsSchema } from './averaging.js'
import { matchAverages } from './match-averages.js'
import { nativeOptimizer } from './optimizer.js'
import { createPairing, type NoisePairing } from './pair-noise.js'
import type { RunSettings } from './run-options.js'

export class TrainState implements Disposable {
  readonly network: Network
  readonly #training: TrainingHandle
  /** What is drawn from: the first averaged copy, or the network itself where there is none. */
  readonly averaged: NetworkHandle
  readonly #ownsAveraged: boolean
  /** Who is mixed with whose noise; undefined where each image has its own. */
  readonly pairing: NoisePairing | undefined
  readonly #averaging: readonly AveragingSettings[]
  /** The step that each averaged copy began at. */
  #averagesSince: readonly number[]

  private constructor(
    network: Network,
    training: TrainingHandle,
    averaging: readonly AveragingSettings[],
    pairing: NoisePairing | undefined,
  ) {
    this.network = network
    this.pairing = pairing
    this.#training = training
    this.#averaging = averaging
    this.#averagesSince = averaging.map(() => 0)
    this.#ownsAveraged = averaging.length > 0
    this.averaged = this.#ownsAveraged ? callSync((binding) => binding.trainingAveraged(training, 0)) : network.handle
  }

  /** Takes over the network. */
  static async create(network: Network, settings: RunSettings): Promise<TrainState> {
    const { optimizer, clipNorm, averaging, activationCheckpointing } = settings.training
    const training = await call(undefined, (binding) =>
      binding.trainingCreate(network.handle, {
        ...nativeOptimizer(optimizer),
        clipNorm,
        averages: averaging.length,
        activationCheckpointing,
        precision: settings.precision,
      }),
    )
    const { channels, height, width } = network.image
    const pairing = createPairing(settings.diffusion.coupling, [channels, height, width], seedNumber(settings.seed))
    return new TrainState(network, training, averaging, pairing)
  }

  /** @param profile records what the step does. */
  async step(batch: NativeBatch, signal?: AbortSignal, profile?: ProfileHandle): Promise<NativeStepReport> {
    return call(signal, (binding, cancellation) =>
      binding.trainingStep(this.#training, batch, cancellation, profile ?? null),
    )
  }

  /** Every tensor of the run, read when it is written. */
  tensors(): CheckpointTensor[] {
    const state = callSync((binding) => binding.trainingTensors(this.#training))
    return [
      ...this.network.parameters.map(({ name, shape }) =>
        float32(`network.${name}`, shape, () => this.network.read(name)),
      ),
      ...state.map(({ name, shape }) => float32(name, shape, () => this.#read(name))),
    ]
  }

  async #read(name: string): Promise<Tensor<'float32'>> {
    return Tensor.own(await call(undefined, (binding) => binding.trainingRead(this.#training, name)))
  }

  /** Steps that averaged copies began at, by their index; undefined where all have seen the whole run. */
  get averagesSince(): readonly number[] | undefined {
    return this.#averagesSince.some((step) => step > 0) ? this.#averagesSince : undefined
  }

  /**
   * Drops what is left of an update that failed or was cancelled. @returns how many updates the weights have seen, and how often
   * they were written by hand. @throws DpmError DPM_NATIVE where an update was cut short in the optimizer itself.
   */
  async settle(): Promise<{ readonly step: number; readonly writes: number }> {
    return call(undefined, (binding) => binding.trainingSettle(this.#training))
  }

  /**
   * Takes all tensors from a checkpoint. Averaged copies are matched by their kind and parameters; a new one begins as a copy of
   * the trained weights, as one would that is begun at that step.
   * @param warn hears of copies that begin, and of stored ones that end.
   * @throws DpmError DPM_FILE_INVALID naming what is missing or misshapen.
   */
  async restore(checkpoint: Checkpoint, warn: (message: string) => void): Promise<void> {
    const { step, path } = checkpoint
    const training = checkpoint.settings['training'] as { readonly averaging?: unknown } | undefined
    const stored = parseOptions(averagingsSchema, training?.averaging ?? [], `training.averaging of ${path}`)
    const matched = matchAverages(stored, this.#averaging)
    // Before the first update averaged copies follow what is written into the network: a new one has its weights now.
    await readWeights(checkpoint, this.network, 'network')
    for (const { name, shape } of callSync((binding) => binding.trainingTensors(this.#training))) {
      const source = storedName(name, matched)
      if (source === undefined) continue
      using tensor = await readTensor(checkpoint, source, shape)
      await call(undefined, (binding) => binding.trainingWrite(this.#training, name, tensor.handle))
    }
    await call(undefined, (binding) => binding.trainingBegin(this.#training, step))
    const since = checkpoint.progress['averagesSince']
    this.#averagesSince = matched.map((index) =>
      index === undefined ? step : Array.isArray(since) ? Number(since[index] ?? 0) : 0,
    )
    for (const [index, settings] of this.#averaging.entries()) {
      if (matched[index] === undefined)
        warn(`The averaged copy ${show(settings)} is new: it begins at step ${step}, as a copy of the trained weights.`)
    }
    for (const [index, settings] of stored.entries()) {
      if (!matched.includes(index))
        warn(`The averaged copy ${show(settings)} is no longer kept: ${path} still has it, later checkpoints will not.`)
    }
  }

  dispose(): void {
    callSync((binding) => {
      if (this.#ownsAveraged) binding.dispose(this.averaged)
      binding.dispose(this.#training)
    })
    this.network.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/** The name under which a checkpoint has a tensor; undefined of an averaged copy that it lacks. */
function storedName(name: string, matched: readonly (number | undefined)[]): string | undefined {
  const [, index, parameter] = /^average\.([0-9]+)\.(.*)$/s.exec(name) ?? []
  if (index === undefined) return name
  const stored = matched[Number(index)]
  return stored === undefined ? undefined : `average.${stored}.${parameter}`
}

/**
 * Refuses to go on with other data than a run began with: the weights belong to its image shape and to
 * its classes, the order of its examples to their number.
 * @throws DpmError DPM_DATA_INVALID naming both.
 */
export function requireSameData(checkpoint: Checkpoint, dataSet: DataSet, knowsClasses: boolean): void {
  const shape = ({ channels, height, width }: ImageShape): string => [channels, height, width].join('×')
  const [before, now] = [shape(checkpoint.image), shape(dataSet)]
  const cure = 'Change `data` back, or begin a new run in another folder.'
  if (before !== now) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `The run was trained on images of ${before}, but the data has ${now}. ${cure}`,
    )
  }
  if (JSON.stringify(checkpoint.image.columns) !== JSON.stringify(dataSet.columns)) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `The run was trained on columns of other names, means or deviations than the data has. ${cure}`,
    )
  }
  const examples = checkpoint.progress['examples']
  if (typeof examples === 'number' && examples !== dataSet.length) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `The run was trained on ${examples} examples, but the data has ${dataSet.length}: their order would be another. ${cure}`,
    )
  }
  if (knowsClasses && checkpoint.classes.join('\n') !== dataSet.classes.join('\n')) {
    const list = (names: readonly string[]): string => `${names.length} classes ${show(names)}`
    throw new DpmError(
      'DPM_DATA_INVALID',
      `The run was trained on ${list(checkpoint.classes)}, but the data has ${list(dataSet.classes)}. ${cure}`,
    )
  }
}

function float32(name: string, shape: readonly number[], load: () => Promise<Tensor<'float32'>>): CheckpointTensor {
  return {
    name,
    shape,
    dtype: 'float32',
    read: async () => {
      using tensor = await load()
      return new Uint8Array((await tensor.data()).buffer)
    },
  }
}
