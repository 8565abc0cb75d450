/**
 * The order of training data, and reading ahead. Which examples a step sees is a function of (seed, step), so a run
 * resumes in the right place with nothing stored but its step.
 */
import { DpmError, expected, throwIfAborted } from '../errors.js'
import { keyedPermutation } from '../random/permutation.js'
import { allocate } from './allocate.js'
import { flipImage, flipped } from './augment.js'
import type { DataSet, ExampleValues } from './data-set.js'
import { exampleSize, roomFor } from './memory-data-set.js'

export interface BatchesOptions {
  /** Examples per step. */
  readonly batch: number
  readonly seed: number
  /** First step, counted from 0: a run that has made 1000 steps goes on with 1000. Default 0. */
  readonly startStep?: number
  /** Batches being read while the caller works on one; default 2. */
  readonly prefetch?: number
  /** Mirror half of the examples left to right, another half in each epoch; default false. */
  readonly flip?: boolean
  /** What the network sees beside each image, made of the images as they are trained on; nothing when absent. */
  readonly beside?: ((images: ExampleValues, count: number) => Promise<Float32Array>) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Batch {
  readonly step: number
  /** Epoch of the first example; an epoch is `dataSet.length` examples. */
  readonly epoch: number
  /** Epochs that the run will have seen after this batch. */
  readonly epochFraction: number
  /** Data-set index of each example. */
  readonly indices: Float64Array
  /** Epoch of each example: a batch may span the end of one. */
  readonly epochs: Float64Array
  /** N×C×H×W; the caller's own. */
  readonly images: ExampleValues
  /** What `beside` made of them; null without it. */
  readonly beside: Float32Array | null
  /** Class of each example; null when the data has no classes. */
  readonly classes: Int32Array | null
}

export interface BatchOrder {
  readonly indices: Float64Array
  readonly epochs: Float64Array
}

/**
 * Position p = step · batch + i of the run is example permutation(p mod length) of epoch floor(p / length): every example
 * comes once in each epoch, in a new order each time.
 */
export function batchOrder(length: number, batch: number, seed: number, step: number): BatchOrder {
  const indices = allocate(Float64Array, batch, `the order of ${batch} examples`)
  const epochs = new Float64Array(batch)
  let epoch = -1
  let permutation = (position: number): number => position
  for (let i = 0; i < batch; i++) {
    const position = step * batch + i
    const itsEpoch = Math.floor(position / length)
    if (itsEpoch !== epoch) {
      epoch = itsEpoch
      permutation = keyedPermutation(length, seed, epoch)
    }
    indices[i] = permutation(position - epoch * length)
    epochs[i] = epoch
  }
  return { indices, epochs }
}

/**
 * Batches without end, from `startStep` on. Reading starts with the first `next()` and goes on while the caller works;
 * `break`, an error or the signal stop it, and the generator ends only when all reading has ended.
 * @throws DpmError DPM_ABORTED when the signal fires; what reading a batch throws comes when its turn comes, not before.
 */
export async function* createBatches(
  dataSet: DataSet,
  options: BatchesOptions,
): AsyncGenerator<Batch, never, undefined> {
  const { batch, seed, startStep = 0, prefetch = 2, flip = false, beside, signal } = options
  for (const [name, value, least] of [
    ['batch', batch, 1],
    ['startStep', startStep, 0],
    ['prefetch', prefetch, 0],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least)
      throw expected(`a whole number of at least ${least}`, name, value)
  }
  if (dataSet.length === 0) throw new DpmError('DPM_DATA_INVALID', `The data set ${dataSet.name} has no examples.`)
  const stop = new AbortController()
  const onAbort = (): void => stop.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const underway: Promise<Batch>[] = []
  try {
    for (let step = startStep; ; step++) {
      throwIfAborted(signal, 'Reading the data')
      while (underway.length <= prefetch) {
        const loading = loadBatch(dataSet, batch, seed, step + underway.length, { flip, beside, signal: stop.signal })
        // Its error is for the caller who comes to this batch; until then it must not count as unhandled.
        loading.catch(() => undefined)
        underway.push(loading)
      }
      const loaded = await underway.shift()
      throwIfAborted(signal, 'Reading the data')
      if (loaded) yield loaded
    }
  } finally {
    stop.abort()
    signal?.removeEventListener('abort', onAbort)
    await Promise.allSettled(underway)
  }
}

async function loadBatch(
  dataSet: DataSet,
  batch: number,
  seed: number,
  step: number,
  { flip, beside, signal }: Pick<BatchesOptions, 'flip' | 'beside'> & { readonly signal: AbortSignal },
): Promise<Batch> {
  const { indices, epochs } = batchOrder(dataSet.length, batch, seed, step)
  const size = exampleSize(dataSet)
  const images = roomFor(dataSet, batch)
  await dataSet.read([...indices], images, signal)
  if (flip) {
    for (let i = 0; i < batch; i++) {
      if (flipped(seed, epochs[i] ?? 0, indices[i] ?? 0)) flipImage(images.subarray(i * size, (i + 1) * size), dataSet)
    }
  }
  return {
    step,
    epoch: epochs[0] ?? 0,
    epochFraction: ((step + 1) * batch) / dataSet.length,
    indices,
    epochs,
    images,
    beside: beside ? await beside(images, batch) : null,
    classes: dataSet.classes.length > 0 ? Int32Array.from(indices, (index) => dataSet.classOf(index)) : null,
  }
}
