/** What a run will take, measured on its own data before it begins; nothing is written. */
import { statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { ImageShape, OpenProgress } from '../datasets/data-set.js'
import { startGeneration } from '../generation/generate.js'
import { animationSteps, drawsPreviews, previewOptions, withPictures } from './previews.js'
import type { RunSettings } from './run-options.js'
import { Trainer } from './trainer.js'

export interface PlanOptions {
  readonly settings: RunSettings
  /** Where the run would be, for the free space there. */
  readonly out?: string
  readonly signal?: AbortSignal | undefined
  readonly onOpen?: OpenProgress
  /** What is being measured now. */
  readonly onMeasure?: (what: string) => void
}

export interface Plan {
  readonly data: {
    readonly name: string
    readonly length: number
    readonly classes: number
    readonly image: ImageShape
  }
  readonly device: string
  readonly parameters: number
  /** Updates of the whole run. */
  readonly steps: number
  readonly epochs: number
  /** Updates that were measured; the first warms up and counts only when it is the only one. */
  readonly measuredSteps: number
  readonly secondsPerStep: number
  readonly imagesPerSecond: number
  readonly trainingSeconds: number
  readonly pictures: {
    /** Sample grids while training and at its end; 0 when previews are off. */
    readonly grids: number
    readonly secondsPerGrid: number
    readonly animationSeconds: number
    readonly totalSeconds: number
  }
  readonly totalSeconds: number
  /** The process's largest resident memory, libtorch and data included; on a GPU its own memory comes on top. */
  readonly memoryBytes: number
  /** Weights, gradients, moments and averaged copies: what the network takes wherever it is computed. */
  readonly stateBytes: number
  readonly checkpointBytes: number
  /** Checkpoints on disk at the same time, at most. */
  readonly checkpointsKept: number
  readonly diskBytes: number
  /** Undefined where the file system does not say. */
  readonly freeBytes: number | undefined
}

const measuredSteps = 3
const float32Bytes = 4
/** Adam keeps the mean of gradients and of their squares. */
const moments = 2

/** Trains three steps and draws two steps of a sample grid. @throws DpmError as `Trainer.create` and its `steps`. */
export async function planRun({ settings, out, signal, onOpen, onMeasure }: PlanOptions): Promise<Plan> {
  await using trainer = await Trainer.create({ ...settings, signal, ...(onOpen ? { onOpen } : {}) })
  const { batch, averaging } = settings.training
  const measured = await measureSteps(trainer, signal, onMeasure)
  const { secondsPerStep } = measured
  const { minutes } = settings.budget
  const bySpeed = minutes === undefined ? Number.POSITIVE_INFINITY : Math.ceil((60 * minutes) / secondsPerStep)
  const steps = Math.min(trainer.totalSteps ?? Number.POSITIVE_INFINITY, bySpeed)
  if (drawsPreviews(settings)) onMeasure?.('a sample grid')
  const pictures = await measurePictures(trainer, steps, signal)
  const trainingSeconds = steps * secondsPerStep
  const checkpointBytes = trainer.size * float32Bytes * (1 + moments + averaging.length)
  const { last, everySteps } = settings.checkpoints.keep
  // The newest is complete before the oldest goes.
  const checkpointsKept = last + 1 + (everySteps === undefined ? 0 : Math.floor(steps / everySteps))
  const { everySteps: snapshotSteps } = settings.checkpoints.snapshots
  const snapshots = snapshotSteps === 0 ? 0 : Math.floor(steps / snapshotSteps)
  const snapshotBytes = trainer.size * float32Bytes * averaging.length
  const { name, length, classes, channels, height, width } = trainer.dataSet
  return {
    data: { name, length, classes: classes.length, image: { channels, height, width } },
    device: trainer.device,
    parameters: trainer.size,
    steps,
    epochs: (steps * batch) / length,
    measuredSteps: measured.steps,
    secondsPerStep,
    imagesPerSecond: batch / secondsPerStep,
    trainingSeconds,
    pictures,
    totalSeconds: trainingSeconds + pictures.totalSeconds,
    memoryBytes: process.resourceUsage().maxRSS * 1024,
    stateBytes: checkpointBytes + trainer.size * float32Bytes,
    checkpointBytes,
    checkpointsKept,
    diskBytes: checkpointBytes * checkpointsKept + snapshotBytes * snapshots,
    freeBytes: out === undefined ? undefined : await freeSpace(resolve(out)),
  }
}

async function measureSteps(
  trainer: Trainer,
  signal: AbortSignal | undefined,
  onMeasure: PlanOptions['onMeasure'],
): Promise<{ readonly steps: number; readonly secondsPerStep: number }> {
  const enough = new AbortController()
  const both = signal ? AbortSignal.any([signal, enough.signal]) : enough.signal
  onMeasure?.(`step 1 of ${measuredSteps}`)
  const times = [performance.now()]
  for await (const _ of trainer.steps({ signal: both })) {
    times.push(performance.now())
    if (times.length > measuredSteps) {
      // What is queued behind need not be computed.
      enough.abort()
      break
    }
    onMeasure?.(`step ${times.length} of ${measuredSteps}`)
  }
  const steps = times.length - 1
  const from = steps > 1 ? 1 : 0
  const [begin = 0, end = 0] = [times[from], times.at(-1)]
  return { steps, secondsPerStep: (end - begin) / 1000 / Math.max(1, steps - from) }
}

async function measurePictures(
  trainer: Trainer,
  steps: number,
  signal: AbortSignal | undefined,
): Promise<Plan['pictures']> {
  const { previews } = trainer.settings
  if (!drawsPreviews(trainer.settings)) return { grids: 0, secondsPerGrid: 0, animationSeconds: 0, totalSeconds: 0 }
  const { source } = trainer
  const options = previewOptions(source, previews, signal)
  using generation = await startGeneration(source, await withPictures(source, trainer.dataSet, options))
  const times = [performance.now()]
  for (let done = false; times.length < 3 && !done; ) {
    const advanced = await generation.run.advance(1, { signal })
    done = advanced.done
    times.push(performance.now())
  }
  const secondsPerAdvance = ((times.at(-1) ?? 0) - (times.at(-2) ?? 0)) / 1000
  const secondsPerGrid = secondsPerAdvance * generation.steps
  const animationSeconds = previews.animation ? secondsPerAdvance * animationSteps(source, previews) : 0
  // One at each multiple before the end, and one at the end.
  const grids = Math.floor((steps - 1) / previews.everySteps) + 1
  return { grids, secondsPerGrid, animationSeconds, totalSeconds: grids * secondsPerGrid + animationSeconds }
}

/** Free bytes where a folder is or will be. */
async function freeSpace(path: string): Promise<number | undefined> {
  for (let folder = path; ; folder = dirname(folder)) {
    const found = await statfs(folder).catch(() => undefined)
    if (found) return found.bavail * found.bsize
    if (folder === dirname(folder)) return undefined
  }
}
