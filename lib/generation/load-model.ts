/** A network with one copy of its weights, its process, and what it was trained on, out of a checkpoint. */
import type { Checkpoint } from '../checkpoints/checkpoint.js'
import { readCheckpoint } from '../checkpoints/checkpoint-folder.js'
import type { ImageShape } from '../datasets/data-set.js'
import { createProcess, type DiffusionProcess } from '../diffusion/diffusion-options.js'
import { isLearned } from '../diffusion/posterior.js'
import { DpmError, expected } from '../errors.js'
import { type Precision, precisions, resolveDevice } from '../native/device.js'
import { isClassifier, knownClasses } from '../networks/list.js'
import { Network } from '../networks/network.js'
import { placesNear, requireTrust } from '../networks/program-file.js'
import { type Checks, checks, oneOf, readOptions } from '../options/call-options.js'
import { parseOptions } from '../options/options.js'
import { Tensor, type TensorSource } from '../tensor/tensor.js'
import type { Condition } from './conditions/condition.js'
import { conditionedNetwork, createCondition } from './conditions/list.js'
import { restoreLearned } from './learned-tensors.js'
import { type ModelSettings, modelSchema } from './model-options.js'

export interface LoadOptions {
  /** `auto` when absent. */
  readonly device?: string
  /** Arithmetic of the network; the run's own when absent. */
  readonly precision?: Precision
  /** Which weights: an averaged copy's index, or `trained`; the first averaged copy where there is one when absent. */
  readonly weights?: number | 'trained'
  /**
   * Whether a TorchScript module that the checkpoint names may be run; false when absent. A module is a program, which can read and
   * write files: allow none that you would not run. Checkpoints of other networks hold no program, and need no trust.
   */
  readonly trust?: boolean
}

const loadChecks: Checks<LoadOptions> = {
  device: checks.text,
  precision: oneOf(precisions),
  weights: checks.any,
  trust: checks.flag,
}

/** The network is the caller's to dispose of. */
export interface LoadedModel {
  readonly settings: ModelSettings
  readonly process: DiffusionProcess
  readonly network: Network
  readonly image: ImageShape
  /** Class names by index that the network is told, or tells apart; empty where it has to do with none. */
  readonly classes: readonly string[]
  /** Updates that the weights have seen. */
  readonly step: number
  readonly device: string
  readonly precision: Precision
  readonly condition: Condition | undefined
}

/**
 * Loads the latest checkpoint of a run folder, or a checkpoint file.
 * @param wanted what the network is to give; anything when absent.
 * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID, DPM_DEVICE_UNAVAILABLE, DPM_INVALID_ARGUMENT for weights it lacks,
 *   DPM_INVALID_OPTION for a network that gives something else, DPM_NOT_TRUSTED for a TorchScript module without `trust`.
 */
export async function loadModel(path: string, asked: LoadOptions, wanted?: 'images' | 'logits'): Promise<LoadedModel> {
  if (typeof path !== 'string') throw expected('the path of a run folder or a checkpoint', 'path', path)
  const options = readOptions('load', asked, loadChecks)
  await using checkpoint = await readCheckpoint(path)
  const settings = parseOptions(modelSchema, checkpoint.settings, checkpoint.path)
  if (wanted) requireGives(wanted, settings, checkpoint.path)
  requireTrust(settings.network, options.trust, checkpoint.path)
  const prefix = weightsPrefix(checkpoint, options.weights)
  const device = await resolveDevice(options.device ?? 'auto')
  const classes = knownClasses(settings.network, checkpoint.classes)
  const condition = createCondition(settings.condition, checkpoint.image)
  const network = await Network.build(conditionedNetwork(settings.network, condition), {
    image: checkpoint.image,
    classes: classes.length,
    outputs: isLearned(settings.diffusion.variance) ? 2 : 1,
    device,
    near: placesNear(checkpoint.path),
  })
  try {
    await readWeights(checkpoint, network, prefix)
    const process = createProcess(settings.diffusion)
    await restoreLearned(checkpoint, process.learners)
    const precision = options.precision ?? settings.precision
    const { image, step } = checkpoint
    return { settings, process, network, image, classes, step, device, precision, condition }
  } catch (error) {
    network.dispose()
    throw error
  }
}

function requireGives(wanted: 'images' | 'logits', { network }: ModelSettings, path: string): void {
  if (isClassifier(network) === (wanted === 'logits')) return
  throw new DpmError(
    'DPM_INVALID_OPTION',
    wanted === 'images'
      ? `${JSON.stringify(path)} holds a classifier of noisy images ("${network.kind}"), which draws none. Guide another model by it: \`NoisyClassifier.load\`, or \`--classifier\` of \`dpm-torch sample\`.`
      : `${JSON.stringify(path)} holds no classifier: its network "${network.kind}" gives images. A classifier is trained with \`network.kind\` "encoder-unet", or imported.`,
    { details: { path } },
  )
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
