/** Training steps of a tiny U-Net, and what they must compute: rows, noise and targets in float64. */
import type { ImageShape } from '../../lib/datasets/data-set.js'
import type {
  NativeBatch,
  NativeUpdate,
  NetworkHandle,
  Row,
  TensorHandle,
  TrainingHandle,
} from '../../lib/native/binding.js'
import { rowFields } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { normals } from '../../lib/random/philox.js'
import { createTensor, type Held, takeFloats } from './handles.js'
import { drawImages, tinyElements, tinyImage } from './tiny-unet.js'

export const trainingSettings = {
  optimizer: 'adam',
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  clipNorm: 0,
  averages: 0,
  precision: 'float32',
  activationCheckpointing: false,
} as const

export async function createTraining(
  held: Held,
  network: NetworkHandle,
  settings: Readonly<Record<string, number | string | boolean>> = {},
): Promise<TrainingHandle> {
  return held(await loadBinding().trainingCreate(network, { ...trainingSettings, ...settings }))
}

export const update: NativeUpdate = { learningRate: 1e-3, step: 1, averagingDecays: [] }

/** A batch as numbers: image n is `images[n]`, or the n-th drawn one. */
export interface BatchPlan {
  readonly rows: readonly Row[]
  readonly examples: readonly number[]
  readonly epochs: readonly number[]
  readonly images: ArrayLike<number>
  readonly dtype: 'float32' | 'uint8'
  readonly seed: number
}

export const noBound = {
  boundScale: 0,
  boundVariance: 0,
  boundLow: 0,
  boundHigh: 0,
  boundWeight: 0,
  boundDecoder: 0,
} as const

export const plainRow: Row = {
  alpha: 0.8,
  sigma: 0.6,
  cIn: 1,
  cNoise: 400,
  targetClean: 0,
  targetNoise: 1,
  weight: 1,
  ...noBound,
}

/** Image n belongs to example n: a part of a plan is the plan of those examples. */
export function planOf(
  examples: readonly number[],
  changes: Partial<BatchPlan> & { readonly row?: Partial<Row> } = {},
): BatchPlan {
  const { row, ...rest } = changes
  const images = new Float32Array(examples.length * tinyElements)
  examples.forEach((example, n) => {
    images.set(drawImages(example + 1).subarray(example * tinyElements), n * tinyElements)
  })
  return {
    rows: examples.map((example) => ({ ...plainRow, cNoise: 100 + 37 * example, ...row })),
    examples,
    epochs: examples.map((example) => example % 3),
    images,
    dtype: 'float32',
    seed: 21,
    ...rest,
  }
}

export function batchOf(
  held: Held,
  plan: BatchPlan,
  changes: Partial<NativeBatch> = {},
  { channels, height, width }: ImageShape = tinyImage,
): NativeBatch {
  const shape = [plan.examples.length, channels, height, width]
  return {
    images: createTensor(held, plan.images, shape, plan.dtype),
    classes: null,
    condition: null,
    rows: Float64Array.from(plan.rows.flatMap((row) => rowFields.map((field) => row[field]))),
    examples: Float64Array.from(plan.examples),
    epochs: Float64Array.from(plan.epochs),
    noiseExamples: null,
    noiseEpochs: null,
    forwardStep: null,
    seed: plan.seed,
    total: plan.examples.length,
    loss: 'l2',
    lossScale: 1,
    detachMean: false,
    rowGradients: false,
    first: true,
    update,
    ...changes,
  }
}

/** What the network is given and trained towards: cIn (alpha x_0 + sigma noise), and targetClean x_0 + targetNoise noise. */
export function mixturesOf(plan: BatchPlan): { readonly x: Float64Array; readonly target: Float64Array } {
  const x = new Float64Array(plan.images.length)
  const target = new Float64Array(plan.images.length)
  plan.rows.forEach((row, n) => {
    const noise = normals(plan.seed, 'training', plan.epochs[n] ?? 0, plan.examples[n] ?? 0, tinyElements)
    noise.forEach((value, i) => {
      const pixel = plan.images[n * tinyElements + i] ?? 0
      const clean = plan.dtype === 'uint8' ? pixel / 127.5 - 1 : pixel
      x[n * tinyElements + i] = row.cIn * (row.alpha * clean + row.sigma * value)
      target[n * tinyElements + i] = row.targetClean * clean + row.targetNoise * value
    })
  })
  return { x, target }
}

/** Every state tensor of a training by name. */
export async function readState(training: TrainingHandle): Promise<Map<string, Float32Array>> {
  const binding = loadBinding()
  const values = new Map<string, Float32Array>()
  for (const { name } of binding.trainingTensors(training)) {
    values.set(name, await takeFloats(await binding.trainingRead(training, name)))
  }
  return values
}

export async function writeParameter(
  held: Held,
  network: NetworkHandle,
  name: string,
  value: (index: number) => number,
): Promise<void> {
  const binding = loadBinding()
  const shape = binding.networkParameters(network).find((row) => row.name === name)?.shape
  if (!shape) throw new RangeError(`no parameter ${name}`)
  const size = shape.reduce((product, extent) => product * extent, 1)
  const tensor: TensorHandle = createTensor(
    held,
    Float32Array.from({ length: size }, (_, i) => value(i)),
    shape,
  )
  await binding.networkWrite(network, name, tensor)
}

/** Distance in the L2 norm, relative to the reference. */
export function relativeDistance(actual: ArrayLike<number>, reference: ArrayLike<number>): number {
  let [difference, size] = [0, 0]
  for (let i = 0; i < reference.length; i++) {
    difference += ((actual[i] ?? Number.NaN) - (reference[i] ?? 0)) ** 2
    size += (reference[i] ?? 0) ** 2
  }
  return Math.sqrt(difference / size)
}

/** The values of several tensors, one after the other. */
export function joined(values: ReadonlyMap<string, ArrayLike<number>>, prefix = ''): number[] {
  return [...values].filter(([name]) => name.startsWith(prefix)).flatMap(([, list]) => Array.from(list))
}
