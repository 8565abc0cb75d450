/**
 * `skipped.jsonl`: the examples of a run that could not be decoded and were replaced, one JSON object per line: `place`, `reason`
 * and `index`. What an earlier part of the run has met counts too.
 */
import { appendFile, readFile } from 'node:fs/promises'
import * as z from 'zod'
import type { CorruptExample } from '../datasets/data-set.js'
import { readFailure, systemCode, writeFailure } from '../files/file-failure.js'

const recordSchema = z.object({ index: z.number(), place: z.string(), reason: z.string() })

export class SkippedExamples {
  readonly #path: string | undefined
  readonly #known: Map<string, CorruptExample>
  /** Examples that are in the file. */
  #written: number
  /** How many the data set had when it was last looked at. */
  #seen = 0
  #needsBreak: boolean

  private constructor(path: string | undefined, known: readonly CorruptExample[], needsBreak: boolean) {
    this.#path = path
    this.#known = new Map(known.map((one) => [one.place, one]))
    this.#written = this.#known.size
    this.#needsBreak = needsBreak
  }

  /** @param path the file, made with its first line; without one nothing is written. @throws DpmError DPM_FILE_INVALID */
  static async open(path: string | undefined): Promise<SkippedExamples> {
    if (path === undefined) return new SkippedExamples(undefined, [], false)
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return ''
      throw readFailure(path, error)
    })
    return new SkippedExamples(path, text.split('\n').flatMap(recordOf), text !== '' && !text.endsWith('\n'))
  }

  /** All of the run so far, in the order in which they were met. */
  get all(): readonly CorruptExample[] {
    return [...this.#known.values()]
  }

  get count(): number {
    return this.#known.size
  }

  /** Notes what a data set has skipped until now. @throws DpmError DPM_WRITE_FAILED; it is then written with the next. */
  async note(corrupt: readonly CorruptExample[]): Promise<void> {
    if (corrupt.length === this.#seen && this.#written === this.#known.size) return
    this.#seen = corrupt.length
    for (const one of corrupt) if (!this.#known.has(one.place)) this.#known.set(one.place, one)
    const fresh = this.all.slice(this.#written)
    if (fresh.length === 0) return
    const lines = fresh.map(({ place, reason, index }) => `${JSON.stringify({ place, reason, index })}\n`).join('')
    if (this.#path !== undefined) {
      const path = this.#path
      await appendFile(path, `${this.#needsBreak ? '\n' : ''}${lines}`).catch((error: unknown) => {
        // Half a line may be there.
        this.#needsBreak = true
        throw writeFailure(path, error)
      })
    }
    this.#needsBreak = false
    this.#written = this.#known.size
  }
}

/** A line that a crash cut short is passed over. */
function recordOf(line: string): CorruptExample[] {
  try {
    return [recordSchema.parse(JSON.parse(line))]
  } catch {
    return []
  }
}
