/** What a run says of itself while it trains: metrics.jsonl and TensorBoard, losses averaged between two lines. */
import * as z from 'zod'
import type { Images } from '../images/image-batch.js'
import { MetricsLog, type MetricsRecord } from './metrics-log.js'
import type { RunFolder } from './run-folder.js'
import { EventWriter } from './tensorboard.js'

export interface JournalValues {
  readonly step: number
  readonly loss: number
  readonly gradientNorm: number
  readonly learningRate: number
  readonly epoch: number
  /** Seconds of training so far. */
  readonly seconds: number
  readonly imagesPerSecond: number | undefined
}

/** What a journal has not written yet: it travels in checkpoints, so that a resumed run's lines are those of one that never stopped. */
export interface JournalState {
  /** Losses since the last line: their sum, in the order of the steps, and their number. */
  readonly sum: number
  readonly count: number
  /** Lines that could not be written, as on a full disk. */
  readonly lines: readonly MetricsRecord[]
}

const stateSchema = z.object({
  sum: z.number(),
  count: z.int().min(0),
  lines: z.array(z.looseObject({ step: z.int() })),
})

export class RunJournal {
  readonly #metrics: MetricsLog
  readonly #events: EventWriter | undefined
  readonly #everySteps: number
  #sum: number
  #count: number
  #lines: MetricsRecord[]

  private constructor(metrics: MetricsLog, events: EventWriter | undefined, everySteps: number, state: JournalState) {
    this.#metrics = metrics
    this.#events = events
    this.#everySteps = everySteps
    this.#sum = state.sum
    this.#count = state.count
    this.#lines = [...state.lines]
  }

  /**
   * @param resumed of a run that goes on: its step, whose later lines are dropped, and the state that its checkpoint has, if any.
   */
  static async open(
    folder: RunFolder,
    settings: { readonly everySteps: number; readonly tensorboard: boolean },
    resumed?: { readonly step: number; readonly state: unknown },
  ): Promise<RunJournal> {
    const metrics = await MetricsLog.open(folder.metrics, resumed?.step)
    try {
      const options = { resumeStep: resumed?.step }
      const events = settings.tensorboard ? await EventWriter.create(folder.tensorboard, options) : undefined
      const found = stateSchema.safeParse(resumed?.state)
      const { sum, count, lines } = found.success ? (found.data as JournalState) : { sum: 0, count: 0, lines: [] }
      // What was written after that checkpoint after all is there.
      const missing = lines.filter(({ step }) => step > metrics.lastStep)
      const journal = new RunJournal(metrics, events, settings.everySteps, { sum, count, lines: missing })
      await journal.#write()
      return journal
    } catch (error) {
      await metrics.close()
      throw error
    }
  }

  /** A loss that JSON cannot hold is left out of what travels: the line says NaN all the same where there was no stop. */
  get state(): JournalState | undefined {
    if (this.#count === 0 && this.#lines.length === 0) return undefined
    const numbers = [this.#sum, ...this.#lines.flatMap((line) => Object.values(line))].map(Number)
    return numbers.every(Number.isFinite) ? { sum: this.#sum, count: this.#count, lines: [...this.#lines] } : undefined
  }

  /**
   * Notes an update; a line is written at every `everySteps`-th.
   * @throws DpmError DPM_WRITE_FAILED; the line is then written with the next, or when the run goes on.
   */
  async note(values: JournalValues): Promise<void> {
    this.#sum += values.loss
    this.#count += 1
    if (values.step % this.#everySteps !== 0) return
    const loss = this.#sum / this.#count
    this.#sum = 0
    this.#count = 0
    const { step, imagesPerSecond, ...numbers } = { ...values, loss }
    this.#lines.push({ step, ...numbers, ...(imagesPerSecond !== undefined && { imagesPerSecond }) })
    await this.#write()
  }

  async #write(): Promise<void> {
    while (this.#lines[0]) {
      await this.#metrics.append(this.#lines[0])
      const { step: at, ...record } = this.#lines.shift() as MetricsRecord
      for (const [name, value] of Object.entries(record)) this.#events?.scalar(`train/${name}`, Number(value), at)
    }
    await this.#events?.flush()
  }

  /** Shows a sample grid in TensorBoard. */
  async picture(tag: string, images: ReturnType<Images['grid']>, step: number): Promise<void> {
    if (!this.#events) return
    this.#events.image(tag, await images.toBuffer(), images.width, images.height, step)
    await this.#events.flush()
  }

  async close(): Promise<void> {
    try {
      await this.#events?.close()
    } finally {
      await this.#metrics.close()
    }
  }
}
