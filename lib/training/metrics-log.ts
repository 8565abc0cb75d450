/**
 * `metrics.jsonl`: one JSON object per line, appended as training goes. A run that is continued from step N first drops
 * what came after N, so that no curve is drawn twice.
 *
 * JSON has no NaN and no infinity; they are written as the strings "NaN", "Infinity" and "-Infinity", and read back as
 * numbers.
 */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { DpmError, expected } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import { readFailure, writeFailure } from '../files/file-failure.js'
import { parseJson } from '../files/parse-json.js'

/** One line. `step` counts finished updates. */
export interface MetricsRecord {
  readonly step: number
  readonly [name: string]: number | string | boolean
}

const nonFinite: Readonly<Record<string, number>> = { NaN: Number.NaN, Infinity, '-Infinity': -Infinity }

/** A line of ours has a few hundred characters. */
const maximumLineLength = 100_000

export class MetricsLog {
  readonly path: string
  /** Of the last line when it was opened; -1 where there was none. */
  readonly lastStep: number
  readonly #file: FileHandle
  /** Bytes of whole lines. */
  #length: number
  /** The append before, so that lines never mix. */
  #tail: Promise<void> = Promise.resolve()

  private constructor(path: string, file: FileHandle, length: number, lastStep: number) {
    this.path = path
    this.lastStep = lastStep
    this.#file = file
    this.#length = length
  }

  /**
   * Opens the log for appending, creating it if need be. A last line that a crash cut short is dropped.
   * @param lastStep lines of later steps are dropped as well: the step that the run continues from.
   * @throws DpmError DPM_WRITE_FAILED.
   */
  static async open(path: string, lastStep = Number.POSITIVE_INFINITY): Promise<MetricsLog> {
    const last = await keepWholeLines(path, lastStep)
    try {
      const file = await open(path, 'a')
      return new MetricsLog(path, file, (await file.stat()).size, last)
    } catch (error) {
      throw writeFailure(path, error)
    }
  }

  /** Appends one line. Lines appear in the order of the calls. */
  async append(record: MetricsRecord): Promise<void> {
    if (!Number.isSafeInteger(record.step)) throw expected('a whole number', 'step', record.step)
    const line = `${JSON.stringify(record, (_, value: unknown) => (isNonFinite(value) ? String(value) : value))}\n`
    const append = this.#tail.then(() => this.#write(Buffer.from(line)))
    this.#tail = append.catch(() => undefined)
    return append
  }

  async close(): Promise<void> {
    await this.#tail
    await this.#file.close()
  }

  async #write(line: Buffer): Promise<void> {
    try {
      await this.#file.appendFile(line)
      this.#length += line.length
    } catch (error) {
      // A full disk may have taken half of the line: the next one must not be glued to it.
      await this.#file.truncate(this.#length).catch(() => undefined)
      throw writeFailure(this.path, error)
    }
  }
}

function isNonFinite(value: unknown): boolean {
  return typeof value === 'number' && !Number.isFinite(value)
}

/**
 * The log's records in order, read as a stream. Lines that are no record (torn by a crash) are passed over.
 * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID.
 */
export async function* readMetrics(path: string): AsyncGenerator<MetricsRecord> {
  for await (const { text } of linesOf(path)) {
    const record = parseRecord(text)
    if (record) yield record
  }
}

interface Line {
  readonly text: string
  /** False for a last line without its line break. */
  readonly whole: boolean
}

async function* linesOf(path: string): AsyncGenerator<Line> {
  let rest = ''
  try {
    for await (const chunk of createReadStream(path, 'utf8') as AsyncIterable<string>) {
      const parts = (rest + chunk).split('\n')
      rest = parts.pop() ?? ''
      for (const text of parts) yield { text, whole: true }
    }
  } catch (error) {
    throw readFailure(path, error)
  }
  if (rest) yield { text: rest, whole: false }
}

function parseRecord(line: string): MetricsRecord | undefined {
  try {
    const value = parseJson(line, { name: 'The line', maximumLength: maximumLineLength })
    if (typeof value !== 'object' || value === null || !('step' in value) || typeof value.step !== 'number') return
    const numbers = Object.entries(value).map(([name, inner]) => [name, finiteOrNot(inner)] as const)
    return Object.fromEntries(numbers) as unknown as MetricsRecord
  } catch {
    return undefined
  }
}

function finiteOrNot(value: unknown): unknown {
  return typeof value === 'string' && Object.hasOwn(nonFinite, value) ? nonFinite[value] : value
}

/** Rewrites the log if it holds anything but whole records up to a step. @returns the step of the last record; -1 without. */
async function keepWholeLines(path: string, lastStep: number): Promise<number> {
  let spotless = true
  let last = -1
  try {
    for await (const line of linesOf(path)) {
      const step = keptStep(line, lastStep)
      spotless &&= line.whole && step !== undefined
      last = step ?? last
    }
  } catch (error) {
    if (error instanceof DpmError && error.code === 'DPM_FILE_MISSING') return last
    throw error
  }
  if (!spotless) await writeAtomically(path, keptLines(path, lastStep))
  return last
}

/** The step of a line that stays. */
function keptStep({ text }: Line, lastStep: number): number | undefined {
  const step = parseRecord(text)?.step
  return step !== undefined && step <= lastStep ? step : undefined
}

async function* keptLines(path: string, lastStep: number): AsyncGenerator<Uint8Array> {
  for await (const line of linesOf(path)) {
    if (keptStep(line, lastStep) !== undefined) yield Buffer.from(`${line.text}\n`)
  }
}
