/**
 * Rows of a table that is still being drawn, in a file beside it: `points.csv.partial`. A later call that draws in the same way goes on
 * behind them, and the file goes when the table is whole. Its first line is JSON that says how they are drawn; then come the rows,
 * float64 in the machine's order.
 */
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { DpmError } from '../errors.js'
import { systemCode, writeFailure } from '../files/file-failure.js'
import { type DrawingRecord, differencesOf } from './drawing-record.js'

/** No line that says how rows are drawn is longer. */
const longestHeader = 1 << 20

export class RowStore {
  readonly path: string
  readonly #file: FileHandle
  readonly #begin: number
  readonly #rowBytes: number
  #rows: number

  private constructor(path: string, file: FileHandle, begin: number, rowBytes: number, rows: number) {
    this.path = path
    this.#file = file
    this.#begin = begin
    this.#rowBytes = rowBytes
    this.#rows = rows
  }

  /**
   * Opens the rows that are there, or begins anew.
   * @param columns numbers of a row
   * @throws DpmError DPM_INVALID_OPTION where the rows were drawn in another way, DPM_WRITE_FAILED
   */
  static async open(path: string, record: DrawingRecord, columns: number, overwrite = false): Promise<RowStore> {
    const file = await open(path, overwrite ? 'w+' : 'a+').catch((error: unknown) => {
      throw writeFailure(path, error)
    })
    // Opened to append, so that what is there stays; written at places of our own.
    await file.close()
    const handle = await open(path, 'r+')
    try {
      const { size } = await handle.stat()
      const rowBytes = columns * Float64Array.BYTES_PER_ELEMENT
      const stored = size === 0 ? undefined : await headerOf(handle, path)
      if (stored === undefined) {
        const header = Buffer.from(`${JSON.stringify(record)}\n`)
        await handle.write(header, 0, header.length, 0)
        return new RowStore(path, handle, header.length, rowBytes, 0)
      }
      const differences = differencesOf(stored.record, record)
      if (differences.length > 0) {
        throw refusal(path, `rows that were drawn in another way (${differences.slice(0, 4).join('; ')})`)
      }
      // A last row that was cut short is drawn again.
      return new RowStore(path, handle, stored.length, rowBytes, Math.floor((size - stored.length) / rowBytes))
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Rows that are there. */
  get rows(): number {
    return this.#rows
  }

  /** @throws DpmError DPM_WRITE_FAILED; rows before stay. */
  async append(values: Float64Array): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    try {
      for (let done = 0; done < bytes.length; ) {
        const at = this.#begin + this.#rows * this.#rowBytes + done
        done += (await this.#file.write(bytes, done, bytes.length - done, at)).bytesWritten
      }
    } catch (error) {
      throw writeFailure(this.path, error)
    }
    this.#rows += bytes.length / this.#rowBytes
  }

  /** The rows that are there, into the beginning of an array. */
  async readInto(values: Float64Array): Promise<void> {
    const bytes = new Uint8Array(
      values.buffer,
      values.byteOffset,
      Math.min(values.byteLength, this.#rows * this.#rowBytes),
    )
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.#file.read(bytes, done, bytes.length - done, this.#begin + done)
      if (bytesRead === 0)
        throw new DpmError('DPM_FILE_INVALID', `${JSON.stringify(this.path)} became shorter. Delete it.`)
      done += bytesRead
    }
  }

  /** The table is whole: the rows go. */
  async remove(): Promise<void> {
    await unlink(this.path).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw writeFailure(this.path, error)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

async function headerOf(
  file: FileHandle,
  path: string,
): Promise<{ readonly record: unknown; readonly length: number }> {
  const bytes = Buffer.alloc(longestHeader)
  const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
  const end = bytes.subarray(0, bytesRead).indexOf('\n')
  try {
    if (end >= 0) return { record: JSON.parse(bytes.toString('utf8', 0, end)) as unknown, length: end + 1 }
  } catch {
    // Said below.
  }
  throw refusal(path, 'something else than rows')
}

function refusal(path: string, what: string): DpmError {
  return new DpmError(
    'DPM_INVALID_OPTION',
    `${JSON.stringify(path)}, which keeps the rows of a table that is not whole yet, holds ${what}. Delete it, choose another \`--out\`, or draw anew with \`--overwrite\`.`,
    { details: { path } },
  )
}
