/** Reads zip files of any size by the list of files that ends them, streaming each entry. */
import type { FileHandle } from 'node:fs/promises'
import { Transform, type TransformCallback } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { crc32, createInflateRaw, inflateRaw } from 'node:zlib'
import { DpmError } from '../errors.js'
import { openRegularFile } from './regular-file.js'
import { dataOffset, invalid, plain, readAt, readDirectory, type ZipEntry } from './zip-directory.js'

export type { ZipEntry } from './zip-directory.js'

export interface ExtractOptions {
  readonly signal?: AbortSignal | undefined
  /** Sees every chunk that is written. */
  readonly observe?: (chunk: Buffer) => void
}

export interface ZipArchive {
  readonly path: string
  readonly sizeBytes: number
  /** Files only, in the order of the central directory. */
  readonly entries: readonly ZipEntry[]
  /**
   * Writes the bytes of one entry to a stream and checks their number and CRC-32.
   * @throws DpmError DPM_FILE_INVALID
   */
  extract(entry: ZipEntry, into: NodeJS.WritableStream, options?: ExtractOptions): Promise<void>
  /** The same for an entry that fits into memory. */
  read(entry: ZipEntry): Promise<Buffer<ArrayBuffer>>
  /** Bytes `start` … `start + length - 1` of a stored entry, without a look at its checksum. */
  readRange(entry: ZipEntry, start: number, length: number): Promise<Buffer<ArrayBuffer>>
  close(): Promise<void>
}

const inflate = promisify<Buffer, { maxOutputLength: number }, Buffer<ArrayBuffer>>(inflateRaw)

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID */
export async function openZip(path: string): Promise<ZipArchive> {
  const { file, sizeBytes } = await openRegularFile(path, 'archive')
  try {
    const entries = await readDirectory(file, path, sizeBytes)
    return {
      sizeBytes,
      path,
      entries,
      extract: (entry, into, options = {}) => extractEntry(file, path, entry, into, options),
      read: (entry) => readEntry(file, path, entry),
      readRange: async (entry, start, length) => {
        const inside = entry.method === 'stored' && start >= 0 && length >= 0 && start + length <= entry.sizeBytes
        if (!inside) throw invalid(path, `${entry.path} has no bytes ${start} to ${start + length} to be read`)
        return readAt(file, path, (await dataOffset(file, path, entry)) + start, length)
      },
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Passes bytes on while counting them and updating their CRC-32. */
class Check extends Transform {
  sizeBytes = 0
  crc32 = 0
  readonly #limit: number
  readonly #observe: ExtractOptions['observe']

  constructor(limit: number, observe: ExtractOptions['observe']) {
    super()
    this.#limit = limit
    this.#observe = observe
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.sizeBytes += chunk.length
    if (this.sizeBytes > this.#limit) {
      done(new Error(`more than the ${this.#limit} bytes that it declares`))
      return
    }
    this.crc32 = crc32(chunk, this.crc32)
    this.#observe?.(chunk)
    done(null, chunk)
  }
}

async function extractEntry(
  file: FileHandle,
  path: string,
  entry: ZipEntry,
  into: NodeJS.WritableStream,
  { signal, observe }: ExtractOptions,
): Promise<void> {
  const start = await dataOffset(file, path, entry)
  const check = new Check(entry.sizeBytes, observe)
  const source = readRange(file, start, entry.compressedBytes)
  const options = signal ? { signal } : {}
  try {
    if (entry.method === 'stored') await pipeline(source, check, into, options)
    else await pipeline(source, createInflateRaw({ chunkSize: 256 * 1024 }), check, into, options)
  } catch (cause) {
    if (signal?.aborted || isFileSystemError(cause)) throw cause
    throw new DpmError('DPM_FILE_INVALID', `${plain(entry.path)} in ${path} is damaged: ${(cause as Error).message}.`, {
      cause,
    })
  }
  requireSame(path, entry, check.sizeBytes, check.crc32)
}

function requireSame(path: string, entry: ZipEntry, sizeBytes: number, checksum: number): void {
  if (sizeBytes === entry.sizeBytes && checksum === entry.crc32) return
  throw new DpmError(
    'DPM_FILE_INVALID',
    `${plain(entry.path)} in ${path} is damaged: expected ${entry.sizeBytes} bytes with CRC-32 ${hex(entry.crc32)} but it has ` +
      `${sizeBytes} with ${hex(checksum)}. Download the archive again.`,
  )
}

async function* readRange(file: FileHandle, start: number, length: number): AsyncGenerator<Buffer> {
  const blockBytes = 1 << 20
  for (let at = 0; at < length; ) {
    const { bytesRead, buffer } = await file.read(
      Buffer.allocUnsafe(Math.min(blockBytes, length - at)),
      0,
      null,
      start + at,
    )
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** Whole entry at once: several times faster than a stream for a small one, and a libtorch has 9,000 of those. */
async function readEntry(file: FileHandle, path: string, entry: ZipEntry): Promise<Buffer<ArrayBuffer>> {
  const raw = await readAt(file, path, await dataOffset(file, path, entry), entry.compressedBytes)
  const data = entry.method === 'stored' ? raw : await inflateWhole(path, entry, raw)
  requireSame(path, entry, data.length, crc32(data))
  return data
}

async function inflateWhole(path: string, entry: ZipEntry, raw: Buffer): Promise<Buffer<ArrayBuffer>> {
  try {
    return await inflate(raw, { maxOutputLength: Math.max(1, entry.sizeBytes) })
  } catch (cause) {
    throw new DpmError('DPM_FILE_INVALID', `${plain(entry.path)} in ${path} is damaged: ${(cause as Error).message}.`, {
      cause,
    })
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}

/** Errors of the disk (full, read-only) are no fault of the archive. */
function isFileSystemError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'syscall' in error
}
