/** The bytes of a file from front to back, unpacked where it is gzipped, a few at a time. */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { DpmError, throwIfAborted } from '../errors.js'
import { systemCode } from '../files/file-failure.js'
import { missingOr } from './missing.js'

export interface PackedFile {
  readonly path: string
  /** Its length as it lies on the disk. */
  readonly sizeBytes: number
  /** Its first two bytes say so, whatever its name. */
  readonly isGzip: boolean
}

/** @throws DpmError DPM_DATA_MISSING, or DPM_FILE_INVALID where it may not be read. */
export async function lookAt(path: string, cure?: string): Promise<PackedFile> {
  const refuse = missingOr(path, cure)
  const file: FileHandle = await open(path, 'r').catch(refuse)
  try {
    const start = new Uint8Array(2)
    await file.read(start, 0, 2, 0).catch(refuse)
    const { size } = await file.stat()
    return { path, sizeBytes: size, isGzip: start[0] === 0x1f && start[1] === 0x8b }
  } finally {
    await file.close()
  }
}

/**
 * Its bytes in order. Reading goes no further than the caller asks.
 * @param cure for a gzip file that is damaged
 * @throws DpmError DPM_DATA_INVALID for a damaged gzip file, DPM_ABORTED within a piece of the signal.
 */
export async function* readPieces(file: PackedFile, cure: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const { path, isGzip } = file
  const work = `Reading ${path}`
  throwIfAborted(signal, work)
  const stream = createReadStream(path)
  const unpacked = isGzip ? stream.pipe(process.getBuiltinModule('node:zlib').createGunzip()) : stream
  if (unpacked !== stream) stream.on('error', (error) => unpacked.destroy(error))
  try {
    for await (const piece of unpacked) {
      throwIfAborted(signal, work)
      yield piece
    }
  } catch (error) {
    if (error instanceof DpmError) throw error
    throwIfAborted(signal, work)
    if (!isGzip || !systemCode(error).startsWith('Z_')) missingOr(path)(error)
    throw new DpmError('DPM_DATA_INVALID', `${path} is not a whole gzip file: ${String(error)}. ${cure}`, {
      cause: error,
      details: { path },
    })
  } finally {
    stream.destroy()
    unpacked.destroy()
  }
}

/** Takes exact numbers of bytes from pieces of any size. */
export class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array>
  #piece: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]()
  }

  /** Fills `into`. @returns how many bytes there were: fewer where the source ends. */
  read(into: Uint8Array): Promise<number> {
    return this.#take(into.length, (part, at) => into.set(part, at))
  }

  /** @returns how many bytes there were: fewer where the source ends. */
  skip(count: number): Promise<number> {
    return this.#take(count, () => undefined)
  }

  /** No more is read of the source. */
  async close(): Promise<void> {
    await this.#pieces.return?.()
  }

  async #take(count: number, use: (part: Uint8Array, at: number) => void): Promise<number> {
    let at = 0
    while (at < count) {
      if (this.#piece.length === 0) {
        const next = await this.#pieces.next()
        if (next.done) return at
        this.#piece = next.value
      }
      const part = this.#piece.subarray(0, count - at)
      use(part, at)
      at += part.length
      this.#piece = this.#piece.subarray(part.length)
    }
    return at
  }
}
