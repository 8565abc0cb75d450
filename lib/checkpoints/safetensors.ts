/**
 * Safetensors files: 8 bytes of header length, the header as JSON, the tensors' bytes, little-endian and without gaps.
 * Written as a stream, one tensor in memory at a time; read by offset, so that opening a large file costs its header
 * only.
 *
 * Format: https://github.com/huggingface/safetensors#format
 */
import type { FileHandle } from 'node:fs/promises'
import { DpmError, expected, show } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import { readFailure } from '../files/file-failure.js'
import { openRegularFile } from '../files/regular-file.js'
import {
  dtypeBytes,
  invalidFile,
  maximumHeaderBytes,
  nameFault,
  parseHeader,
  type SafetensorsDType,
  type SafetensorsHeader,
  shapeBytes,
  type TensorEntry,
} from './safetensors-header.js'

export type { SafetensorsDType, TensorEntry } from './safetensors-header.js'

/** A tensor to be written; its bytes are asked for when their turn comes. */
export interface TensorSource {
  readonly name: string
  readonly dtype: SafetensorsDType
  readonly shape: readonly number[]
  /** The elements in row-major order, little-endian. */
  read(): Promise<Uint8Array>
}

/** One read call takes at most this much; Node itself stops below 2 GiB. */
const chunkBytes = 16 * 1024 * 1024

/**
 * Writes tensors and metadata as one safetensors file, which appears whole or not at all.
 * @throws DpmError DPM_INVALID_ARGUMENT for a name, shape or byte count that does not fit; DPM_WRITE_FAILED.
 */
export async function writeSafetensors(
  path: string,
  sources: readonly TensorSource[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ordered = inFileOrder(sources)
  await writeAtomically(path, fileParts(encodeHeader(ordered, metadata), ordered))
}

/** Widest elements first, then by name, as the format's own library does: every tensor is aligned to its elements. */
function inFileOrder(sources: readonly TensorSource[]): TensorSource[] {
  return [...sources].sort(
    (a, b) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype] || (a.name < b.name ? -1 : Number(a.name > b.name)),
  )
}

function encodeHeader(sources: readonly TensorSource[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries = new Map<string, unknown>()
  if (Object.keys(metadata).length > 0) entries.set('__metadata__', metadata)
  let offset = 0
  for (const { name, dtype, shape } of sources) {
    const fault = entries.has(name) ? 'occurs twice' : nameFault(name)
    if (fault) throw new DpmError('DPM_INVALID_ARGUMENT', `The tensor name ${show(name)} ${fault}. Rename the tensor.`)
    const end = offset + tensorBytes(name, dtype, shape)
    entries.set(name, { dtype, shape, data_offsets: [offset, end] })
    offset = end
  }
  // `Object.fromEntries` defines properties, it does not assign them: a tensor may even be called `__proto__`.
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)))
  const length = Math.ceil(text.length / 8) * 8
  if (length > maximumHeaderBytes) {
    throw expected(`at most ${maximumHeaderBytes} bytes of header`, 'tensors', length, 'Store fewer or shorter names.')
  }
  const header = new Uint8Array(8 + length).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true)
  header.set(text, 8)
  return header
}

function tensorBytes(name: string, dtype: SafetensorsDType, shape: readonly number[]): number {
  const valid = shape.every((size) => Number.isSafeInteger(size) && size >= 0)
  const bytes = valid ? shapeBytes(dtype, shape) : undefined
  if (bytes === undefined) throw expected('whole numbers of at least 0', `shape of ${name}`, shape)
  return bytes
}

async function* fileParts(header: Uint8Array, sources: readonly TensorSource[]): AsyncGenerator<Uint8Array> {
  yield header
  for (const source of sources) {
    const { name, dtype, shape } = source
    const bytes = await source.read()
    const needed = tensorBytes(name, dtype, shape)
    if (bytes.byteLength !== needed) {
      throw expected(`${needed} bytes (${dtype} of shape [${shape.join(', ')}])`, name, bytes)
    }
    yield bytes
  }
}

/** An open safetensors file, all of whose header has been checked. Close it, or write `await using`. */
export class SafetensorsFile {
  readonly path: string
  readonly tensors: ReadonlyMap<string, TensorEntry>
  readonly metadata: ReadonlyMap<string, string>
  readonly #file: FileHandle
  readonly #dataStart: number

  private constructor(path: string, file: FileHandle, dataStart: number, header: SafetensorsHeader) {
    this.path = path
    this.tensors = header.tensors
    this.metadata = header.metadata
    this.#file = file
    this.#dataStart = dataStart
  }

  /**
   * Opens a file and checks that it is complete.
   * @throws DpmError DPM_FILE_MISSING, or DPM_FILE_INVALID naming the file, the tensor and the numbers.
   */
  static async open(path: string): Promise<SafetensorsFile> {
    const { file, sizeBytes } = await openRegularFile(path)
    try {
      if (sizeBytes < 8) throw invalidFile(path, `it has ${sizeBytes} bytes, and the header length alone takes 8`)
      const length = Buffer.from(await readRange(file, path, 0, 8)).readBigUInt64LE()
      if (length > BigInt(maximumHeaderBytes)) {
        throw invalidFile(path, `its header claims ${length} bytes, and the format allows ${maximumHeaderBytes}`)
      }
      const dataStart = 8 + Number(length)
      if (dataStart > sizeBytes) {
        throw invalidFile(path, `its header claims ${length} bytes, but the file ends after ${sizeBytes}`)
      }
      const bytes = await readRange(file, path, 8, Number(length))
      return new SafetensorsFile(path, file, dataStart, parseHeader(bytes, sizeBytes - dataStart, path))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /**
   * One tensor's bytes, row-major and little-endian, in memory of their own.
   * @throws DpmError DPM_FILE_MISSING when the file has no such tensor; DPM_FILE_INVALID when it has shrunk since.
   */
  async readTensor(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.tensors.get(name)
    if (!entry) {
      const some = [...this.tensors.keys()].slice(0, 5).map(show).join(', ')
      throw new DpmError(
        'DPM_FILE_MISSING',
        `${JSON.stringify(this.path)} has no tensor ${show(name)}. It has ${this.tensors.size}: ${some} …`,
        { details: { path: this.path, name } },
      )
    }
    return readRange(this.#file, this.path, this.#dataStart + entry.begin, entry.end - entry.begin)
  }

  /** Doing it twice is harmless. */
  async close(): Promise<void> {
    await this.#file.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

async function readRange(
  file: FileHandle,
  path: string,
  start: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = allocate(path, length)
  for (let done = 0; done < length; ) {
    const wanted = Math.min(chunkBytes, length - done)
    const { bytesRead } = await file.read(bytes, done, wanted, start + done).catch((error: unknown) => {
      throw readFailure(path, error)
    })
    if (bytesRead === 0) throw invalidFile(path, `it ends at byte ${start + done}, before ${start + length}`)
    done += bytesRead
  }
  return bytes
}

function allocate(path: string, length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length)
  } catch (error) {
    const message = `There is no memory for ${length} bytes of ${JSON.stringify(path)}. Close other programs.`
    throw new DpmError('DPM_OUT_OF_MEMORY', message, { cause: error, details: { requestedBytes: length } })
  }
}
