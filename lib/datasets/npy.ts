/**
 * NumPy's file format, versions 1 to 3, read by file offset: an array larger than memory is no obstacle.
 * Layout: `\x93NUMPY`, major, minor, header length (uint16 in version 1, uint32 after), a Python dictionary with `descr`,
 * `fortran_order` and `shape`, then the elements (numpy.lib.format, NEP 1).
 */
import { type FileHandle, open } from 'node:fs/promises'
import { DpmError } from '../errors.js'
import { missingOr } from './missing.js'

export const npyTypes = {
  '|u1': { name: 'uint8', bytes: 1 },
  '<i8': { name: 'int64', bytes: 8 },
  '<f4': { name: 'float32', bytes: 4 },
  '<f8': { name: 'float64', bytes: 8 },
} as const
type NpyDescription = keyof typeof npyTypes
export type NpyType = (typeof npyTypes)[NpyDescription]['name']

/** A header longer than this is not one that NumPy wrote for a plain array. */
const maximumHeaderBytes = 1 << 16

export class NpyFile {
  readonly path: string
  readonly shape: readonly number[]
  readonly type: NpyType
  /** Bytes of one element of the first axis: an image, a row. */
  readonly itemBytes: number
  readonly #file: FileHandle
  readonly #dataOffset: number

  private constructor(path: string, file: FileHandle, header: NpyHeader) {
    this.path = path
    this.shape = header.shape
    this.type = npyTypes[header.description].name
    this.itemBytes = header.shape.slice(1).reduce((a, b) => a * b, npyTypes[header.description].bytes)
    this.#file = file
    this.#dataOffset = header.dataOffset
  }

  /**
   * Reads and checks the header, and that the file is exactly as long as it says.
   * @param cure what to do when the file is not there
   * @throws DpmError DPM_DATA_MISSING or DPM_DATA_INVALID naming the file.
   */
  static async open(path: string, cure?: string): Promise<NpyFile> {
    const file = await open(path, 'r').catch(missingOr(path, cure))
    try {
      const { size } = await file.stat()
      const header = await readHeader(file, path)
      const elements = header.shape.reduce((a, b) => a * b, 1)
      const bytes = header.dataOffset + elements * npyTypes[header.description].bytes
      if (size !== bytes) {
        throw invalid(
          path,
          `its header (${header.shape.join('×')} of ${header.description}) asks for ${bytes} bytes but it has ${size}`,
        )
      }
      return new NpyFile(path, file, header)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Number of elements of the first axis. */
  get length(): number {
    return this.shape[0] ?? 0
  }

  /** Raw little-endian bytes of the items `start` … `start + count - 1` of the first axis. */
  async readItems(start: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(count * this.itemBytes)
    const offset = this.#dataOffset + start * this.itemBytes
    await readFully(this.#file, bytes, offset, this.path)
    return bytes
  }

  /** The whole array as numbers; for labels, not for images. int64 beyond 2^53 loses its last digits. */
  async readNumbers(): Promise<Float64Array> {
    const bytes = await this.readItems(0, this.length)
    const view = new DataView(bytes.buffer)
    const size = { uint8: 1, int64: 8, float32: 4, float64: 8 }[this.type]
    const read: (at: number) => number = {
      uint8: (at: number) => view.getUint8(at),
      int64: (at: number) => Number(view.getBigInt64(at, true)),
      float32: (at: number) => view.getFloat32(at, true),
      float64: (at: number) => view.getFloat64(at, true),
    }[this.type]
    return Float64Array.from({ length: bytes.length / size }, (_, i) => read(i * size))
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

interface NpyHeader {
  readonly description: NpyDescription
  readonly shape: readonly number[]
  readonly dataOffset: number
}

async function readHeader(file: FileHandle, path: string): Promise<NpyHeader> {
  const start = new Uint8Array(12)
  const { bytesRead } = await file.read(start, 0, 12, 0)
  if (bytesRead < 12 || Buffer.from(start.subarray(0, 6)).toString('latin1') !== '\x93NUMPY') {
    throw invalid(path, 'it does not begin with \\x93NUMPY')
  }
  const version = start[6] ?? 0
  if (version < 1 || version > 3) throw invalid(path, `its format version is ${version}, and 1, 2 and 3 are known`)
  const view = new DataView(start.buffer)
  const lengthBytes = version === 1 ? 2 : 4
  const headerBytes = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  if (headerBytes > maximumHeaderBytes) throw invalid(path, `its header has ${headerBytes} bytes`)
  const text = new Uint8Array(headerBytes)
  await readFully(file, text, 8 + lengthBytes, path)
  const header = parseHeader(Buffer.from(text).toString(version === 3 ? 'utf8' : 'latin1'), path)
  return { ...header, dataOffset: 8 + lengthBytes + headerBytes }
}

/** NumPy writes the dictionary in one way only; whatever else looks like it is refused rather than guessed at. */
const headerPattern =
  /^\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(((?:\s*\d+\s*,)*(?:\s*\d+\s*)?)\),?\s*\}\s*$/

function parseHeader(text: string, path: string): Omit<NpyHeader, 'dataOffset'> {
  const match = headerPattern.exec(text)
  if (!match) throw invalid(path, `its header is not that of a plain array: ${text.trim().slice(0, 80)}`)
  const [, description = '', order, sizes = ''] = match
  if (!isKnown(description)) {
    const known = Object.entries(npyTypes).map(([code, { name }]) => `${name} (${code})`)
    throw invalid(
      path,
      `its elements are ${description}, and ${known.join(', ')} are known. Convert it with \`astype\``,
    )
  }
  if (order === 'True') throw invalid(path, 'it is in Fortran order. Save it again with `numpy.ascontiguousarray`')
  const shape = sizes
    .split(',')
    .filter((size) => size.trim() !== '')
    .map(Number)
  return { description, shape }
}

function isKnown(description: string): description is NpyDescription {
  return Object.hasOwn(npyTypes, description)
}

async function readFully(file: FileHandle, into: Uint8Array, position: number, path: string): Promise<void> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await file.read(into, done, into.length - done, position + done)
    if (bytesRead === 0) throw invalid(path, `it ends at byte ${position + done}`)
    done += bytesRead
  }
}

function invalid(path: string, reason: string): DpmError {
  return new DpmError('DPM_DATA_INVALID', `${path} cannot be read as a NumPy array: ${reason}.`, { details: { path } })
}
