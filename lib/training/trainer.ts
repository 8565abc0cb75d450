/**
 * Training, from options to a run folder. `steps()` is the loop; `train()` is a few lines over it.
 *
 * Two updates are in flight: while one computes, the next batch is decoded and the one after is queued. Before anything
 * that must see one exact step (a checkpoint, a preview), the queue is drained. Where the process learns from updates, there is
 * one in flight: the rows of the next wait for what it taught. An update carries its number, and native code makes none that
 * does not follow the last one made: behind one that failed, nothing is made.
 */
import { stat } from 'node:fs/promises'
import { writeCheckpoint } from '../checkpoints/checkpoint-folder.js'
import { type Batch, createBatches } from '../datasets/batches.js'
import type { CorruptExample, DataSet } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { DpmError } from '../errors.js'
import type { Source } from '../generation/generate.js'
import type { Network } from '../networks/network.js'
import { seedNumber } from '../options/seed.js'
import { type Averaging, createAveraging } from './averaging.js'
import { type DueFiles, dueAfter } from './due-files.js'
import { type MadeUpdate, noteUpdate, requireFinite } from './made-update.js'
import { type OpenRun, openRun } from './open-run.js'
import { drawAnimation, drawOrLeaveOut, drawPreview, drawsPreviews, sourceOf } from './previews.js'
import { SpeedEstimator } from './progress.js'
import { contentOf } from './run-content.js'
import type { RunFolder } from './run-folder.js'
import type { RunSettings } from './run-options.js'
import { writeSnapshot } from './snapshots.js'
import { cureOf, describeStopped, type StoppedRun, toldOf } from './stopped-run.js'
import { shareOf, type TrainStep } from './train-step.js'
import type { TrainerOptions } from './trainer-options.js'
import { runUpdate, type UpdateReport } from './update.js'
import { UpdateQueue } from './update-queue.js'

type Signalled = { readonly signal?: AbortSignal | undefined }

/** A checkpoint on the disk, and what the weights were. */
interface Saved {
  readonly path: string
  readonly step: number
  readonly writes: number
}

export class Trainer implements AsyncDisposable {
  readonly settings: RunSettings
  readonly dataSet: DataSet
  readonly process: DiffusionProcess
  readonly folder: RunFolder | undefined
  /** `cpu` or `cuda:N`. */
  readonly device: string
  readonly #run: OpenRun
  readonly #averagings: readonly Averaging[]
  readonly #queue = new UpdateQueue<MadeUpdate>()
  #step: number
  #secondsBefore: number
  #startedAt: number | undefined
  #saved: Saved | undefined
  #checkpointSeconds = 0
  /** Checkpoints are written one after the other, and no update is queued meanwhile. */
  #writing: Promise<unknown> = Promise.resolve()
  #toldRemarks: number
  #stopped: StoppedRun | undefined
  #running = false
  #closed = false

  private constructor(run: OpenRun, saved: Saved | undefined) {
    this.settings = run.settings
    this.dataSet = run.dataSet
    this.process = run.process
    this.folder = run.folder
    this.device = run.device
    this.#run = run
    this.#averagings = run.settings.training.averaging.map(createAveraging)
    this.#step = run.step
    this.#secondsBefore = run.seconds
    this.#saved = saved
    this.#toldRemarks = run.dataSet.remarks?.length ?? 0
  }

  /**
   * Opens the data, builds the network, and makes (or resumes) the run folder.
   * @throws DpmError DPM_INVALID_OPTION, DPM_DATA_MISSING, DPM_DATA_INVALID, DPM_RUN_LOCKED, DPM_WRITE_FAILED,
   *   DPM_DEVICE_UNAVAILABLE, DPM_FILE_INVALID where a run has checkpoints and none is whole, and what loading native code throws.
   */
  static async create(options: TrainerOptions): Promise<Trainer> {
    const run = await openRun(options)
    const { step, writes } = await run.state.settle()
    return new Trainer(run, run.checkpoint === undefined ? undefined : { path: run.checkpoint, step, writes })
  }

  /** Finished updates. */
  get step(): number {
    return this.#step
  }

  /** Updates of the whole run; undefined when the budget is in minutes only. */
  get totalSteps(): number | undefined {
    return this.#run.budget.totalSteps
  }

  /** Trainable numbers of the network. */
  get size(): number {
    return this.network.size
  }

  /**
   * The network being trained. What is written into it before the first update of the run is written into the averaged copies
   * too; later a write changes the trained weights alone, and averages move towards it as towards any others.
   */
  get network(): Network {
    return this.#run.state.network
  }

  /** What is drawn from while training: the first averaged copy. @throws DpmError DPM_INVALID_OPTION of a classifier. */
  get source(): Source {
    return sourceOf(this.#run)
  }

  /** Examples of the run so far that could not be decoded and were replaced, where the data is read with `corrupt: 'skip'`. */
  get skipped(): readonly CorruptExample[] {
    return this.#run.skipped.all
  }

  /** How the last loop ended, where that was before the end of the budget: by an error, a signal, or by leaving it. */
  get stopped(): StoppedRun | undefined {
    return this.#stopped
  }

  /**
   * Trains, one update per turn, to the end of the budget. Leaving the loop stops after the updates under way. However it ends
   * before the budget does (by an error, the signal, `break`, an error in the loop's body, which a generator cannot tell from it),
   * a checkpoint of the last update is written first where there is a run folder; {@link stopped} says where.
   * @throws DpmError DPM_ABORTED when the signal fires (within one block of the network), DPM_NON_FINITE naming the step
   *   and the file with its batch, and what reading data and writing files throw; all say how to go on.
   */
  async *steps(options: Signalled = {}): AsyncGenerator<TrainStep, void, undefined> {
    this.#requireOpen()
    if (this.#running)
      throw new DpmError(
        'DPM_INVALID_ARGUMENT',
        'This trainer is already running: end the other loop over steps() first.',
      )
    this.#running = true
    this.#stopped = undefined
    this.#startedAt = performance.now()
    this.#checkpointSeconds = this.#seconds()
    let isOver = false
    try {
      yield* this.#updates(options.signal)
      isOver = true
    } catch (error) {
      isOver = true
      throw await this.#stop(error)
    } finally {
      try {
        if (!isOver) await this.#leave()
      } finally {
        this.#secondsBefore = this.#seconds()
        this.#startedAt = undefined
        this.#running = false
      }
    }
  }

  /**
   * Trains to the end of the budget, writes the last checkpoint and pictures. When it is cancelled or fails, or `onStep` throws,
   * what was trained is written to a checkpoint first, and {@link stopped} says where.
   * @param options.onStep hears of every update, and is waited for; what it throws comes out as it is.
   * @returns the paths of the last checkpoint and of the pictures made at the end.
   */
  async train(
    options: Signalled & { readonly onStep?: (step: TrainStep) => void | Promise<void> } = {},
  ): Promise<{ readonly step: number; readonly written: readonly string[] }> {
    let isCallers = false
    try {
      for await (const step of this.steps(options)) {
        isCallers = true
        await options.onStep?.(step)
        isCallers = false
      }
    } catch (error) {
      // The caller's own error comes out as it is.
      if (isCallers && this.#stopped)
        this.#run.warn(`\`onStep\` ended the training at step ${this.#step}. ${describeStopped(this.#stopped)}`)
      throw error
    }
    try {
      return { step: this.#step, written: await this.finish(options) }
    } catch (error) {
      throw await this.#stop(error)
    }
  }

  /**
   * Writes a checkpoint of where the network is, updates under way included, unless there is one.
   * @returns its path; undefined without a folder.
   * @throws DpmError DPM_WRITE_FAILED; earlier checkpoints are then still there. DPM_DISPOSED after close().
   */
  async checkpoint(): Promise<string | undefined> {
    this.#requireOpen()
    const written = this.#writing.then(() => this.#writeCheckpoint())
    this.#writing = written.catch(() => undefined)
    return written
  }

  async #writeCheckpoint(): Promise<string | undefined> {
    await this.#queue.settle()
    if (!this.folder) return undefined
    const { step, writes } = await this.#run.state.settle()
    if (step !== this.#step) throw new DpmError('DPM_INTERNAL', `${step} updates were made, ${this.#step} are counted.`)
    const saved = this.#saved
    if (saved?.step === step && saved.writes === writes && (await isFile(saved.path))) return saved.path
    const path = await writeCheckpoint(
      this.folder.checkpoints,
      contentOf(this.#run, this.#step, this.#seconds()),
      this.settings.checkpoints.keep,
    )
    this.#saved = { path, step, writes }
    this.#checkpointSeconds = this.#seconds()
    return path
  }

  /** What ends a run: the last checkpoint, a sample grid, and how it came out of noise. */
  async finish(options: Signalled = {}): Promise<string[]> {
    const written = [await this.checkpoint()]
    if (drawsPreviews(this.settings)) {
      written.push(await this.#draw(drawPreview, options.signal))
      if (this.settings.previews.animation) written.push(await this.#draw(drawAnimation, options.signal))
    }
    return written.filter((path) => path !== undefined)
  }

  /**
   * Frees the network, the data and the run folder; a folder that was made for a run which failed before its first update goes.
   * Doing it twice is harmless.
   */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { journal, state } = this.#run
    try {
      await this.#writing
      await journal?.close()
      await this.dataSet.close()
    } finally {
      state.dispose()
      if (this.#stopped && this.#step === 0) await this.folder?.discard()
      this.folder?.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #requireOpen(): void {
    if (this.#closed) throw new DpmError('DPM_DISPOSED', 'The trainer was used after close().')
  }

  /** The loop itself. Where it ends, all that was queued has ended too, and what was made is counted. */
  async *#updates(signal: AbortSignal | undefined): AsyncGenerator<TrainStep, void, undefined> {
    const { batch, flip } = this.settings.training
    const queue = this.#queue
    const speed = new SpeedEstimator(batch)
    const inFlight = this.process.learners.length > 0 ? 1 : 2
    const batches = createBatches(this.dataSet, {
      batch,
      seed: seedNumber(this.settings.seed),
      startStep: this.#step,
      flip,
      beside: this.#run.condition?.ofImages,
      signal,
    })
    /** Updates that are made or queued. */
    let queued = this.#step
    let failure: { readonly error: unknown } | undefined
    try {
      while (queue.length > 0 || !this.#done(this.#step)) {
        // Fill the queue, but not past a step that something must see.
        while (!failure && queue.length < inFlight && (queue.length === 0 || this.#maySubmit(queued))) {
          try {
            const { value } = await batches.next()
            await this.#writing
            this.#submit(value, speed, signal)
            queued += 1
          } catch (error) {
            // Its turn comes behind the updates that are under way.
            failure = { error }
          }
        }
        if (failure && queue.length === 0) throw failure.error
        const made = await queue.take()
        if (made) yield await this.#finish(made, speed, signal)
      }
    } finally {
      // Updates that finish after the caller left count too, and are in the curves.
      await queue.drain()
      await batches.return(undefined as never)
    }
  }

  /** Writes what was trained. @returns the error, which then says where that is. */
  async #stop(error: unknown): Promise<unknown> {
    const stopped = await this.#save(cureOf(error, this.settings))
    if (!this.folder || (error instanceof DpmError && error.code === 'DPM_ABORTED' && stopped.failure === undefined))
      return error
    return toldOf(error, stopped)
  }

  /** The same where the caller has left the loop. @throws what writing throws, which a caller's own error hides: so it is told, too. */
  async #leave(): Promise<void> {
    const { failure } = await this.#save({})
    if (failure === undefined) return
    this.#run.warn(failure instanceof Error ? failure.message : String(failure))
    throw failure
  }

  async #save(cure: StoppedRun['cure']): Promise<StoppedRun> {
    let failure: unknown
    // A run that has made no update is begun again as it was.
    if (this.#step > 0 && !this.#closed) await this.checkpoint().catch((error: unknown) => (failure = error))
    this.#stopped = { step: this.#step, checkpoint: this.#saved?.path, failure, cure }
    return this.#stopped
  }

  #seconds(): number {
    return this.#secondsBefore + (this.#startedAt === undefined ? 0 : (performance.now() - this.#startedAt) / 1000)
  }

  #done(step: number): boolean {
    return this.#run.budget.done(step, this.#seconds())
  }

  /** Whether the update that follows `step` may be queued behind others: not while `step` must be seen alone. */
  #maySubmit(step: number): boolean {
    return !this.#done(step) && !Object.values(this.#dueAfter(step)).some((due) => due)
  }

  /** Which files are due after `step` updates. */
  #dueAfter(step: number): DueFiles {
    if (!this.folder) return { checkpoint: false, snapshot: false, preview: false }
    const seconds = this.#seconds() - this.#checkpointSeconds
    return dueAfter(this.settings, { step, seconds, done: this.#done(step) })
  }

  #submit(batch: Batch, speed: SpeedEstimator, signal: AbortSignal | undefined): void {
    // Both count from the updates that are finished when this one begins.
    const learningRate = this.#run.learningRate(batch.step)
    const decays = this.#averagings.map((averaging) => averaging.decayAt(batch.step + 1, this.settings.training.batch))
    const update = { learningRate, step: batch.step + 1, averagingDecays: decays }
    const report = runUpdate(this, this.#run.state, batch, update, signal)
    this.#queue.push(report, (done) => this.#count(batch, learningRate, done, speed))
  }

  /** One more update is made. @throws DpmError DPM_NON_FINITE */
  async #count(batch: Batch, learningRate: number, report: UpdateReport, speed: SpeedEstimator): Promise<MadeUpdate> {
    await requireFinite(this.#run, this.#step + 1, batch, report)
    this.#step += 1
    return noteUpdate(this.#run, { step: this.#step, seconds: this.#seconds(), learningRate }, batch, report, speed)
  }

  async #finish(
    { values, seconds, failure }: MadeUpdate,
    speed: SpeedEstimator,
    signal?: AbortSignal,
  ): Promise<TrainStep> {
    if (failure !== undefined) throw failure
    const { step } = values
    for (const remark of this.dataSet.remarks?.slice(this.#toldRemarks) ?? []) this.#run.warn(remark)
    this.#toldRemarks = this.dataSet.remarks?.length ?? 0
    this.#run.requireTold()
    const written = await this.#afterStep(step, signal)
    return { ...values, ...shareOf(this.#run, step, seconds, speed), skippedExamples: this.skipped.length, written }
  }

  async #afterStep(step: number, signal: AbortSignal | undefined): Promise<string[]> {
    const written: (string | undefined)[] = []
    const due = this.#dueAfter(step)
    if (due.checkpoint) written.push(await this.checkpoint())
    if (due.snapshot && this.folder) {
      const kept = this.network.parameters.filter(({ trained }) => !trained).map(({ name }) => name)
      written.push(await writeSnapshot(this.folder.path, contentOf(this.#run, this.#step, this.#seconds()), kept))
    }
    if (due.preview) written.push(await this.#draw(drawPreview, signal))
    return written.filter((path) => path !== undefined)
  }

  async #draw(draw: typeof drawPreview, signal: AbortSignal | undefined): Promise<string | undefined> {
    if (!this.folder) return undefined
    const { dataSet, journal, warn } = this.#run
    const place = { dataSet, journal, step: this.#step, folder: this.folder, signal }
    return drawOrLeaveOut(() => draw(this.source, this.settings.previews, place), this.#step, warn)
  }
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
