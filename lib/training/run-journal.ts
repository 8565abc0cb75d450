/** What a run says of itself while it trains: metrics.jsonl and TensorBoard, losses averaged between two lines. */
import type { Images } from '../images/image-batch.js'
import { MetricsLog } from './metrics-log.js'
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

export class RunJournal {
  readonly #metrics: MetricsLog
  readonly #events: EventWriter | undefined
  readonly #everySteps: number
  #losses: number[] = []

  private constructor(metrics: MetricsLog, events: EventWriter | undefined, everySteps: number) {
    this.#metrics = metrics
    this.#events = events
    this.#everySteps = everySteps
  }

  /** @param resumeStep the step that a resumed run goes on from: what was noted of later ones is dropped. */
  static async open(
    folder: RunFolder,
    settings: { readonly everySteps: number; readonly tensorboard: boolean },
    resumeStep: number | undefined,
  ): Promise<RunJournal> {
    const metrics = await MetricsLog.open(folder.metrics, resumeStep)
    try {
      const events = settings.tensorboard ? await EventWriter.create(folder.tensorboard, { resumeStep }) : undefined
      return new RunJournal(metrics, events, settings.everySteps)
    } catch (error) {
      await metrics.close()
      throw error
    }
  }

  /** Notes an update; a line is written at every `everySteps`-th. */
  async note(values: JournalValues): Promise<void> {
    this.#losses.push(values.loss)
    if (values.step % this.#everySteps !== 0) return
    const loss = this.#losses.reduce((sum, one) => sum + one, 0) / this.#losses.length
    this.#losses = []
    const { step, imagesPerSecond, ...numbers } = { ...values, loss }
    const record = imagesPerSecond === undefined ? numbers : { ...numbers, imagesPerSecond }
    await this.#metrics.append({ step, ...record })
    for (const [name, value] of Object.entries(record)) this.#events?.scalar(`train/${name}`, value, step)
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
