/** The gradient of a training step by the weights: what native code accumulated, and what a forward and backward pass give. */
import type { NativeBatch, NativeStepReport, NetworkHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { createTensor, type Held, takeFloats } from './handles.js'
import { tinyImage } from './tiny-unet.js'
import { type BatchPlan, createTraining, joined, mixturesOf, readState, update } from './training-batch.js'

export interface Gradient {
  readonly report: NativeStepReport
  /** By every weight, parameter after parameter. */
  readonly gradient: readonly number[]
}

/** A step that moves nothing; Adam without memory keeps the gradient as its first moment. */
export async function stepGradient(
  held: Held,
  network: NetworkHandle,
  batch: NativeBatch,
  settings: Readonly<Record<string, number | string | boolean>> = {},
): Promise<Gradient> {
  const training = await createTraining(held, network, { beta1: 0, ...settings })
  const still = { ...batch, update: { ...update, learningRate: 0 } }
  const report = await loadBinding().trainingStep(training, still, null)
  return { report, gradient: joined(await readState(training), 'optimizer.first.') }
}

/**
 * The network's output on a plan's mixed images, and the gradient by the weights when that by the output is `slopesOf` it.
 * All N×C×H×W; the network may have two outputs per channel.
 */
export async function passGradient(
  held: Held,
  network: NetworkHandle,
  plan: BatchPlan,
  slopesOf: (output: Float32Array, target: Float64Array) => ArrayLike<number>,
): Promise<{ readonly output: Float32Array; readonly gradient: readonly number[] }> {
  const binding = loadBinding()
  const { x, target } = mixturesOf(plan)
  const { channels, height, width } = tinyImage
  const labels = Float64Array.from(plan.rows, ({ cNoise }) => cNoise)
  const input = createTensor(held, x, [plan.rows.length, channels, height, width])
  const pass = held(await binding.networkForward(network, input, labels, null, null, true, 'float32', null))
  const handle = binding.passOutput(pass)
  const { shape } = binding.tensorInfo(handle)
  const output = await takeFloats(handle)
  const slopes = createTensor(held, slopesOf(output, target), shape)
  const { input: byInput, parameters } = await binding.passBackward(pass, slopes)
  held(byInput)
  const gradient: number[] = []
  for (const parameter of parameters) gradient.push(...(await takeFloats(parameter)))
  return { output, gradient }
}
