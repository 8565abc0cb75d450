/** One update: a batch becomes native jobs, one per micro-batch, of which the last moves the weights. */
import type { Batch } from '../datasets/batches.js'
import type { DataSet, ExampleValues } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { forwardStepFields, forwardStepNumbers } from '../diffusion/forward-step.js'
import { conditionDropped } from '../diffusion/guidance/classifier-free.js'
import type { Observation } from '../diffusion/learned/learner.js'
import type { BatchRows } from '../diffusion/objective.js'
import { type NativeStepReport, type NativeUpdate, type ProfileHandle, rowFields } from '../native/binding.js'
import { isClassifier, learnsForwardStep } from '../networks/list.js'
import { seedNumber } from '../options/seed.js'
import { Tensor } from '../tensor/tensor.js'
import type { RunSettings } from './run-options.js'
import type { TrainState } from './train-state.js'

export interface UpdateContext {
  readonly settings: RunSettings
  readonly dataSet: DataSet
  readonly process: DiffusionProcess
  /** Records what its jobs do. */
  readonly profile?: ProfileHandle | undefined
}

/** What came of an update. */
export interface UpdateReport {
  /** Weighted mean loss of the batch, with what learners add to it. */
  readonly loss: number
  /** L2 norm of the gradient before clipping. */
  readonly gradientNorm: number
  /** Unweighted loss of each example. */
  readonly losses: readonly number[]
  /** False when loss or gradient is not finite: then nothing was updated. */
  readonly finite: boolean
  /** Its gradient overflowed in float16: nothing was updated, and the next has half the loss scale. */
  readonly skipped: boolean
}

/**
 * Queues the jobs of one update, and shows it to the process's learners when it is made: rows of the next are not to be drawn
 * before.
 * @throws DpmError as soon as one job fails.
 */
export async function runUpdate(
  { settings, dataSet, process, profile }: UpdateContext,
  state: TrainState,
  batch: Batch,
  update: NativeUpdate,
  signal: AbortSignal | undefined,
): Promise<UpdateReport> {
  const total = settings.training.batch
  const part = Math.min(settings.training.microBatch ?? total, total)
  const drawn = process.objective.draw({
    seed: seedNumber(settings.seed),
    step: batch.step,
    epochs: batch.epochs,
    examples: batch.indices,
  })
  const classes = trainingClasses(settings, dataSet.classes.length, batch)
  const { channels, height, width } = dataSet
  const size = channels * height * width
  const keys = await state.pairing?.keysOf(batch, signal)
  const forward = learnsForwardStep(settings.network) ? forwardStepNumbers(process, drawn.times) : undefined
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
      rows: drawn.rows.slice(begin * rowFields.length, end * rowFields.length),
      examples: batch.indices.slice(begin, end),
      epochs: batch.epochs.slice(begin, end),
      noiseExamples: keys?.examples.slice(begin, end) ?? null,
      noiseEpochs: keys?.epochs.slice(begin, end) ?? null,
      forwardStep: forward?.slice(begin * forwardStepFields.length, end * forwardStepFields.length) ?? null,
      seed: seedNumber(settings.seed),
      total,
      loss: settings.diffusion.loss,
      lossScale: settings.diffusion.lossScale,
      detachMean: process.objective.detachMean,
      rowGradients: process.learners.some(({ needsRowGradients }) => needsRowGradients),
      follows: update.step - 1,
      first: begin === 0,
      update: end === total ? update : null,
    }
    const report = state.step(job, signal, profile)
    // Where a later part cannot even be queued, nobody waits for this one.
    report.catch(() => undefined)
    jobs.push(report)
  }
  const parts = await Promise.all(jobs)
  const report = {
    loss: parts.reduce((sum, { loss }) => sum + loss, 0),
    gradientNorm: parts.at(-1)?.gradientNorm ?? Number.NaN,
    losses: parts.flatMap(({ losses }) => [...losses]),
    finite: parts.every(({ finite }) => finite),
    skipped: parts.at(-1)?.skipped ?? false,
  }
  if (!report.finite || report.skipped || process.learners.length === 0) return report
  const observation = observationOf(process, batch, drawn, parts, update.learningRate)
  const added = process.learners.reduce((sum, learner) => sum + (learner.lossOf?.(observation) ?? 0), 0)
  for (const learner of process.learners) learner.observe(observation)
  return { ...report, loss: report.loss + added }
}

function observationOf(
  { objective }: DiffusionProcess,
  batch: Batch,
  drawn: BatchRows,
  parts: readonly NativeStepReport[],
  learningRate: number,
): Observation {
  const gradients = parts.map(({ rowGradients }) => rowGradients)
  let shares: Float64Array | undefined
  return {
    ...drawn,
    learningRate,
    losses: joined(parts.map(({ losses }) => losses)),
    bounds: joined(parts.map(({ bounds }) => bounds)),
    rowGradients: gradients.every((part) => part !== null) ? joined(gradients) : null,
    rowOf: objective.rowOf,
    values: () => {
      shares ??= valueShares(batch.images)
      return shares
    },
  }
}

function joined(parts: readonly Float64Array[]): Float64Array {
  return Float64Array.from(parts.flatMap((part) => [...part]))
}

/** How often each of the 256 values occurs, as shares. */
function valueShares(images: ExampleValues): Float64Array {
  const counts = new Float64Array(256)
  for (const value of images) counts[value] = (counts[value] ?? 0) + 1
  return counts.map((count) => count / images.length)
}

/** What the network sees beside a part of a batch; undefined without. */
function besideOf({ beside, indices }: Batch, begin: number, end: number, size: readonly number[]): Tensor | undefined {
  if (!beside) return undefined
  const each = beside.length / indices.length
  const channels = each / size.reduce((product, extent) => product * extent, 1)
  return Tensor.from(beside.subarray(begin * each, end * each), [end - begin, channels, ...size])
}

/**
 * Classes of a batch: what a classifier should say; or what the network is told, some replaced by the null class so that it also
 * learns without.
 */
function trainingClasses({ network, training, seed }: RunSettings, nullClass: number, batch: Batch): Int32Array | null {
  if (!batch.classes) return null
  if (isClassifier(network)) return batch.classes
  if (!network.classConditional) return null
  if (!network.nullClass || training.conditionDropout === 0) return batch.classes
  const key = seedNumber(seed)
  return batch.classes.map((one, i) =>
    conditionDropped(key, batch.epochs[i] ?? 0, batch.indices[i] ?? 0, training.conditionDropout) ? nullClass : one,
  )
}
