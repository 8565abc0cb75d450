/** Memory that pieces of work take in turn: few large ones at a time, or many small ones. */
import { availableParallelism } from 'node:os'

/** For decoding: enough for small pictures on every core, for large ones a few at a time. */
export const decodingBytes = Math.max(256, 48 * availableParallelism()) * 2 ** 20

interface Waiting {
  readonly bytes: number
  readonly start: () => void
}

export class MemoryBudget {
  readonly #total: number
  readonly #queue: Waiting[] = []
  #used = 0

  constructor(totalBytes: number) {
    this.#total = totalBytes
  }

  /** Runs the work when there is room for it, in the order of the calls; what needs more than all has all of it. */
  async run<Result>(bytes: number, work: () => Promise<Result>): Promise<Result> {
    const share = Math.min(bytes, this.#total)
    if (this.#queue.length > 0 || this.#used + share > this.#total) {
      await new Promise<void>((start) => {
        this.#queue.push({ bytes: share, start })
      })
    } else this.#used += share
    try {
      return await work()
    } finally {
      this.#used -= share
      this.#startNext()
    }
  }

  #startNext(): void {
    for (let next = this.#queue[0]; next && this.#used + next.bytes <= this.#total; next = this.#queue[0]) {
      this.#queue.shift()
      this.#used += next.bytes
      next.start()
    }
  }
}
