/**
 * Training, from options to a run folder. `steps()` is the loop; `train()` is a few lines over it.
 *
 * Two updates are in flight: while one computes, the next batch is decoded and the one after is queued. Before anything
 * that must see one exact step (a checkpoint, a preview), the queue is drained. Where the process learns from updates, there is
 * one in flight: the rows of the next wait for what it taught.
 */
import type { CheckpointContent } from '../checkpoints/checkpoint.js'
import { writeCheckpoint } from '../checkpoints/checkpoint-folder.js'
import type { JsonObject } from '../checkpoints/migrations.js'
import { type Batch, createBatches } from '../datasets/batches.js'
import type { DataSet } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { DpmError } from '../errors.js'
import type { Condition } from '../generation/conditions/condition.js'
import type { Source } from '../generation/generate.js'
import { learnedTensors } from '../generation/learned-tensors.js'
import { isClassifier, knownClasses } from '../networks/list.js'
import type { Network } from '../networks/network.js'
import { type Averaging, createAveraging } from './averaging.js'
import type { Budget } from './budget.js'
import { type DueFiles, dueAfter } from './due-files.js'
import type { LearningRate } from './learning-rate.js'
import { writeNonFiniteBatch } from './non-finite.js'
import { type OpenRun, openRun } from './open-run.js'
import { drawAnimation, drawPreview, drawsPreviews, type PreviewPlace } from './previews.js'
import { SpeedEstimator } from './progress.js'
import type { RunFolder } from './run-folder.js'
import type { RunJournal } from './run-journal.js'
import type { RunSettings } from './run-options.js'
import { writeSnapshot } from './snapshots.js'
import type { TrainState } from './train-state.js'
import type { TrainStep } from './train-step.js'
import type { TrainerOptions } from './trainer-options.js'
import { runUpdate, type UpdateReport } from './update.js'

interface Submitted {
  readonly batch: Batch
  readonly learningRate: number
  readonly report: Promise<UpdateReport>
}

export class Trainer implements AsyncDisposable {
  readonly settings: RunSettings
  readonly dataSet: DataSet
  readonly process: DiffusionProcess
  readonly folder: RunFolder | undefined
  /** `cpu` or `cuda:N`. */
  readonly device: string
  readonly #state: TrainState
  readonly #journal: RunJournal | undefined
  readonly #budget: Budget
  readonly #learningRate: LearningRate
  readonly #warn: (message: string) => void
  readonly #averagings: readonly Averaging[]
  readonly #condition: Condition | undefined
  #step: number
  #secondsBefore: number
  #startedAt: number | undefined
  #checkpointStep: number
  #checkpointSeconds = 0
  /** Updates that are computing or queued, oldest first. */
  readonly #pending: Submitted[] = []
  #running = false
  #closed = false

  private constructor(run: OpenRun) {
    this.settings = run.settings
    this.dataSet = run.dataSet
    this.process = run.process
    this.folder = run.folder
    this.device = run.device
    this.#state = run.state
    this.#journal = run.journal
    this.#budget = run.budget
    this.#learningRate = run.learningRate
    this.#warn = run.warn
    this.#averagings = run.settings.training.averaging.map(createAveraging)
    this.#condition = run.condition
    this.#step = run.step
    this.#secondsBefore = run.seconds
    this.#checkpointStep = run.step
  }

  /**
   * Opens the data, builds the network, and makes (or resumes) the run folder.
   * @throws DpmError DPM_INVALID_OPTION, DPM_DATA_MISSING, DPM_DATA_INVALID, DPM_RUN_LOCKED, DPM_WRITE_FAILED,
   *   DPM_DEVICE_UNAVAILABLE and what loading native code throws.
   */
  static async create(options: TrainerOptions): Promise<Trainer> {
    return new Trainer(await openRun(options))
  }

  /** Finished updates. */
  get step(): number {
    return this.#step
  }

  /** Updates of the whole run; undefined when the budget is in minutes only. */
  get totalSteps(): number | undefined {
    return this.#budget.totalSteps
  }

  /** Trainable numbers of the network. */
  get size(): number {
    return this.#state.network.size
  }

  /** The network being trained. */
  get network(): Network {
    return this.#state.network
  }

  /** What is drawn from while training: the first averaged copy. @throws DpmError DPM_INVALID_OPTION of a classifier. */
  get source(): Source {
    const { network, precision } = this.settings
    if (isClassifier(network)) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `The network "${network.kind}" is a classifier, which draws no images. Guide another model by its checkpoint: \`NoisyClassifier.load\`.`,
      )
    }
    return {
      network: this.#state.averaged,
      device: this.device,
      precision,
      process: this.process,
      image: this.dataSet,
      classes: knownClasses(network, this.dataSet.classes),
      nullClass: network.nullClass,
      conditionChannels: this.network.settings.conditionChannels,
      condition: this.#condition,
    }
  }

  /**
   * Trains, one update per turn, to the end of the budget. Leaving the loop stops after the updates under way.
   * @throws DpmError DPM_ABORTED when the signal fires (within one block of the network), DPM_NON_FINITE naming the step
   *   and the file with its batch, and what reading data and writing files throw.
   */
  async *steps(
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<TrainStep, void, undefined> {
    if (this.#closed) throw new DpmError('DPM_DISPOSED', 'The trainer was used after close().')
    if (this.#running)
      throw new DpmError(
        'DPM_INVALID_ARGUMENT',
        'This trainer is already running: end the other loop over steps() first.',
      )
    this.#running = true
    const { signal } = options
    const { batch, flip } = this.settings.training
    const speed = new SpeedEstimator(batch)
    const pending = this.#pending
    const inFlight = this.process.learners.length > 0 ? 1 : 2
    this.#startedAt = performance.now()
    this.#checkpointSeconds = this.#seconds()
    const batches = createBatches(this.dataSet, {
      batch,
      seed: this.settings.seed,
      startStep: this.#step,
      flip,
      beside: this.#condition?.ofImages,
      signal,
    })
    try {
      while (!this.#done(this.#step)) {
        // Fill the queue, but not past a step that something must see.
        while (pending.length < inFlight && this.#maySubmit(this.#step + pending.length)) {
          const next = await batches.next()
          pending.push(this.#submit(next.value, signal))
        }
        const oldest = pending.shift()
        if (!oldest) break
        yield await this.#finish(oldest, await oldest.report, speed, signal)
      }
    } finally {
      // Updates that finish after the caller left count too, and are in the curves.
      for (const submitted of pending.splice(0)) {
        const report = await submitted.report.catch(() => undefined)
        if (report?.finite) await this.#count(submitted, report, speed)
      }
      await batches.return(undefined as never)
      this.#secondsBefore = this.#seconds()
      this.#startedAt = undefined
      this.#running = false
    }
  }

  /**
   * Trains to the end of the budget, writes the last checkpoint and pictures. When cancelled, what was trained is written
   * to a checkpoint first.
   * @returns the paths of the last checkpoint and of the pictures made at the end.
   */
  async train(
    options: { readonly signal?: AbortSignal | undefined; readonly onStep?: (step: TrainStep) => void } = {},
  ): Promise<{ readonly step: number; readonly written: readonly string[] }> {
    try {
      for await (const step of this.steps(options)) options.onStep?.(step)
    } catch (error) {
      if (error instanceof DpmError && error.code === 'DPM_ABORTED') await this.checkpoint()
      throw error
    }
    return { step: this.#step, written: await this.finish(options) }
  }

  /**
   * Writes a checkpoint of where the network is, updates under way included, unless there is one.
   * @returns its path; undefined without a folder.
   * @throws DpmError DPM_WRITE_FAILED; earlier checkpoints are then still there.
   */
  async checkpoint(): Promise<string | undefined> {
    const step = this.#step + (await this.#stepsAhead())
    if (!this.folder || this.#checkpointStep === step) return undefined
    const path = await writeCheckpoint(this.folder.checkpoints, this.#content(step), this.settings.checkpoints.keep)
    this.#checkpointStep = step
    this.#checkpointSeconds = this.#seconds()
    return path
  }

  /** All that the run is after `step` updates. */
  #content(step: number): CheckpointContent {
    const { channels, height, width, columns, classes, length } = this.dataSet
    return {
      settings: this.settings as unknown as JsonObject,
      progress: {
        step,
        seconds: this.#seconds(),
        images: step * this.settings.training.batch,
        examples: length,
      },
      classes,
      image: { channels, height, width, ...(columns && { columns }) },
      tensors: [...this.#state.tensors(), ...learnedTensors(this.process.learners)],
    }
  }

  /** What ends a run: the last checkpoint, a sample grid, and how it came out of noise. */
  async finish(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<string[]> {
    const written = [await this.checkpoint()]
    if (this.folder && drawsPreviews(this.settings)) {
      const place = { ...this.#place, folder: this.folder, signal: options.signal }
      written.push(await this.#picture(() => drawPreview(this.source, this.settings.previews, place)))
      if (this.settings.previews.animation)
        written.push(await this.#picture(() => drawAnimation(this.source, this.settings.previews, place)))
    }
    return written.filter((path) => path !== undefined)
  }

  /** Frees the network, the data and the run folder. Doing it twice is harmless. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    try {
      await this.#journal?.close()
      await this.dataSet.close()
    } finally {
      this.#state.dispose()
      this.folder?.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** What pictures of the run are drawn for. */
  get #place(): Omit<PreviewPlace, 'folder'> {
    return { dataSet: this.dataSet, journal: this.#journal, step: this.#step }
  }

  /** Waits for the updates under way. @returns how many of them were made. */
  async #stepsAhead(): Promise<number> {
    const settled = await Promise.allSettled(this.#pending.map(({ report }) => report))
    return settled.filter((one) => one.status === 'fulfilled' && one.value.finite).length
  }

  #seconds(): number {
    return this.#secondsBefore + (this.#startedAt === undefined ? 0 : (performance.now() - this.#startedAt) / 1000)
  }

  #done(step: number): boolean {
    return this.#budget.done(step, this.#seconds())
  }

  /** Whether the update that follows `step` may be queued now: not while one before it must be seen alone. */
  #maySubmit(step: number): boolean {
    return step === this.#step || (!this.#done(step) && !Object.values(this.#dueAfter(step)).some((due) => due))
  }

  /** Which files are due after `step` updates. */
  #dueAfter(step: number): DueFiles {
    if (!this.folder) return { checkpoint: false, snapshot: false, preview: false }
    const seconds = this.#seconds() - this.#checkpointSeconds
    return dueAfter(this.settings, { step, seconds, done: this.#done(step) })
  }

  #submit(batch: Batch, signal: AbortSignal | undefined): Submitted {
    // Both count from the updates that are finished when this one begins.
    const learningRate = this.#learningRate(batch.step)
    const decays = this.#averagings.map((averaging) => averaging.decayAt(batch.step + 1, this.settings.training.batch))
    const report = runUpdate(
      this,
      this.#state,
      batch,
      { learningRate, step: batch.step + 1, averagingDecays: decays },
      signal,
    )
    // Whoever takes it from the queue hears of it; until then it must not count as unhandled.
    report.catch(() => undefined)
    return { batch, learningRate, report }
  }

  /** One more update is made: its numbers, which the curves show unless it was skipped. */
  async #count(
    { batch, learningRate }: Submitted,
    { loss, gradientNorm, skipped }: UpdateReport,
    speed: SpeedEstimator,
  ): Promise<{
    step: number
    loss: number
    gradientNorm: number
    learningRate: number
    epoch: number
    seconds: number
  }> {
    this.#step += 1
    const seconds = this.#seconds()
    speed.report(this.#step, seconds)
    const values = { step: this.#step, loss, gradientNorm, learningRate, epoch: batch.epochFraction, seconds }
    if (!skipped) await this.#journal?.note({ ...values, imagesPerSecond: speed.imagesPerSecond })
    return values
  }

  async #finish(
    submitted: Submitted,
    report: UpdateReport,
    speed: SpeedEstimator,
    signal: AbortSignal | undefined,
  ): Promise<TrainStep> {
    const { batch } = submitted
    const { losses, skipped } = report
    if (!report.finite) {
      throw await writeNonFiniteBatch({
        folder: this.folder,
        step: this.#step + 1,
        batch,
        losses,
        process: this.process,
        seed: this.settings.seed,
        image: this.dataSet,
      })
    }
    const { seconds, ...values } = await this.#count(submitted, report, speed)
    const written = await this.#afterStep(signal)
    const { epochs, images } = this.settings.budget
    return {
      ...values,
      skipped,
      totalSteps: this.#budget.totalSteps,
      epochs: epochs ?? (images === undefined ? undefined : images / this.dataSet.length),
      fraction: this.#budget.fraction(this.#step, seconds),
      imagesPerSecond: speed.imagesPerSecond,
      etaSeconds: this.#budget.secondsLeft(this.#step, seconds, speed.stepsPerSecond),
      written,
    }
  }

  async #afterStep(signal: AbortSignal | undefined): Promise<string[]> {
    const written: (string | undefined)[] = []
    const due = this.#dueAfter(this.#step)
    if (due.checkpoint) written.push(await this.checkpoint())
    if (due.snapshot && this.folder) {
      const kept = this.network.parameters.filter(({ trained }) => !trained).map(({ name }) => name)
      written.push(await writeSnapshot(this.folder.path, this.#content(this.#step), kept))
    }
    if (due.preview && this.folder) {
      const place = { ...this.#place, folder: this.folder, signal }
      written.push(await this.#picture(() => drawPreview(this.source, this.settings.previews, place)))
    }
    return written.filter((path) => path !== undefined)
  }

  /** Numbers that overflow while a picture is drawn end no run, whose loss is watched on its own: the picture is left out. */
  async #picture(draw: () => Promise<string>): Promise<string | undefined> {
    try {
      return await draw()
    } catch (error) {
      if (!(error instanceof DpmError && error.code === 'DPM_NON_FINITE')) throw error
      this.#warn(`A picture of step ${this.#step} is left out, and training goes on: ${error.message}`)
      return undefined
    }
  }
}
