/** One update: a batch becomes native jobs, one per micro-batch, of which the last moves the weights. */
import type { Batch } from '../datasets/batches.js'
import type { DataSet } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { conditionDropped } from '../diffusion/guidance/classifier-free.js'
import { type NativeStepReport, type NativeUpdate, rowFields } from '../native/binding.js'
import { Tensor } from '../tensor/tensor.js'
import { pairNoise } from './pair-noise.js'
import type { RunSettings } from './run-options.js'
import type { TrainState } from './train-state.js'

export interface UpdateContext {
  readonly settings: RunSettings
  readonly dataSet: DataSet
  readonly process: DiffusionProcess
}

/** Queues the jobs of one update. @returns their reports, in order; rejects as soon as one fails. */
export async function runUpdate(
  { settings, dataSet, process }: UpdateContext,
  state: TrainState,
  batch: Batch,
  update: NativeUpdate,
  signal: AbortSignal | undefined,
): Promise<NativeStepReport[]> {
  const total = settings.training.batch
  const part = Math.min(settings.training.microBatch ?? total, total)
  const rows = process.objective.rows({
    seed: settings.seed,
    step: batch.step,
    epochs: batch.epochs,
    examples: batch.indices,
  })
  const classes = trainingClasses(settings, dataSet.classes.length, batch)
  const { channels, height, width } = dataSet
  const size = channels * height * width
  using whole = Tensor.from(batch.images, [total, channels, height, width])
  const keys = await pairNoise(settings.diffusion.coupling, whole, batch, settings.seed)
  const jobs: Promise<NativeStepReport>[] = []
  for (let begin = 0; begin < total; begin += part) {
    const end = Math.min(begin + part, total)
    const shape = [end - begin, channels, height, width]
    using images = Tensor.from(batch.images.subarray(begin * size, end * size), shape)
    using beside = besideOf(batch, begin, end, [height, width])
    const job = {
      images: images.handle,
      classes: classes?.slice(begin, end) ?? null,
      condition: beside?.handle ?? null,
      rows: rows.slice(begin * rowFields.length, end * rowFields.length),
      examples: batch.indices.slice(begin, end),
      epochs: batch.epochs.slice(begin, end),
      noiseExamples: keys?.examples.slice(begin, end) ?? null,
      noiseEpochs: keys?.epochs.slice(begin, end) ?? null,
      seed: settings.seed,
      total,
      loss: settings.diffusion.loss,
      lossScale: settings.diffusion.lossScale,
      detachMean: process.objective.detachMean,
      rowGradients: false,
      first: begin === 0,
      update: end === total ? update : null,
    }
    jobs.push(state.step(job, signal))
  }
  return Promise.all(jobs)
}

/** What the network sees beside a part of a batch; undefined without. */
function besideOf({ beside, indices }: Batch, begin: number, end: number, size: readonly number[]): Tensor | undefined {
  if (!beside) return undefined
  const each = beside.length / indices.length
  const channels = each / size.reduce((product, extent) => product * extent, 1)
  return Tensor.from(beside.subarray(begin * each, end * each), [end - begin, channels, ...size])
}

/** Classes of a batch, some replaced by the null class so that the network also learns without. */
function trainingClasses({ network, training, seed }: RunSettings, nullClass: number, batch: Batch): Int32Array | null {
  if (!network.classConditional || !batch.classes) return null
  if (!network.nullClass || training.conditionDropout === 0) return batch.classes
  return batch.classes.map((one, i) =>
    conditionDropped(seed, batch.epochs[i] ?? 0, batch.indices[i] ?? 0, training.conditionDropout) ? nullClass : one,
  )
}
