/** Updates that are computing or queued, oldest first. Each is counted once, in their order, by whoever comes first. */
import type { UpdateReport } from './update.js'

interface Queued<Result> {
  readonly report: Promise<UpdateReport>
  readonly count: (report: UpdateReport) => Promise<Result>
  counted?: Promise<Result>
}

export class UpdateQueue<Result> {
  readonly #queued: Queued<Result>[] = []

  get length(): number {
    return this.#queued.length
  }

  /** @param count what is done once with the report of an update, when those before it are counted. */
  push(report: Promise<UpdateReport>, count: (report: UpdateReport) => Promise<Result>): void {
    // Whoever takes it from the queue hears of a failure; until then it must not count as unhandled.
    report.catch(() => undefined)
    this.#queued.push({ report, count })
  }

  /** Takes the oldest update when it is counted. @throws what it or its counting threw. */
  async take(): Promise<Result | undefined> {
    const [oldest] = this.#queued
    if (!oldest) return undefined
    try {
      return await counted(oldest)
    } finally {
      this.#queued.shift()
    }
  }

  /** Waits for all, and counts them; they stay, with what they threw, for who takes them. */
  async settle(): Promise<void> {
    for (const one of [...this.#queued]) await counted(one).catch(() => undefined)
  }

  /** Waits for all, counts them and takes them. */
  async drain(): Promise<void> {
    while (this.length > 0) await this.take().catch(() => undefined)
  }
}

function counted<Result>(one: Queued<Result>): Promise<Result> {
  if (!one.counted) {
    one.counted = one.report.then(one.count)
    one.counted.catch(() => undefined)
  }
  return one.counted
}
