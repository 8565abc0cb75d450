/**
 * NumPy's file format, versions 1 to 3, read by file offset: an array larger than memory is no obstacle.
 * Layout: `\x93NUMPY`, major, minor, header length (uint16 in version 1, uint32 after), a Python dictionary with `descr`,
 * `fortran_order` and `shape`, then the elements (numpy.lib.format, NEP 1).
 */
import { type FileHandle, open } from 'node:fs/promises'
import { DpmError, throwIfAborted } from '../errors.js'
import { allocate } from './allocate.js'
import { foreignFormat } from './foreign-format.js'
import { missingOr } from './missing.js'

/** How an element of each type is read, little-endian. */
interface NpyElement {
  readonly name: string
  readonly bytes: number
  readonly read: (view: DataView, at: number) => number
}

const npyTypes = {
  '|b1': { name: 'bool', bytes: 1, read: (view, at) => (view.getUint8(at) === 0 ? 0 : 1) },
  '|u1': { name: 'uint8', bytes: 1, read: (view, at) => view.getUint8(at) },
  '|i1': { name: 'int8', bytes: 1, read: (view, at) => view.getInt8(at) },
  '<u2': { name: 'uint16', bytes: 2, read: (view, at) => view.getUint16(at, true) },
  '<i2': { name: 'int16', bytes: 2, read: (view, at) => view.getInt16(at, true) },
  '<u4': { name: 'uint32', bytes: 4, read: (view, at) => view.getUint32(at, true) },
  '<i4': { name: 'int32', bytes: 4, read: (view, at) => view.getInt32(at, true) },
  '<u8': { name: 'uint64', bytes: 8, read: (view, at) => Number(view.getBigUint64(at, true)) },
  '<i8': { name: 'int64', bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  '<f2': { name: 'float16', bytes: 2, read: (view, at) => halfOf(view.getUint16(at, true)) },
  '<f4': { name: 'float32', bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  '<f8': { name: 'float64', bytes: 8, read: (view, at) => view.getFloat64(at, true) },
} as const satisfies Readonly<Record<string, NpyElement>>
type NpyDescription = keyof typeof npyTypes
export type NpyType = (typeof npyTypes)[NpyDescription]['name']

/** IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction. */
function halfOf(bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023]
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}

/** Elements between two turns of the event loop. */
const elementsAtOnce = 1 << 18

/** A header longer than this is not one that NumPy wrote for a plain array. */
const maximumHeaderBytes = 1 << 16

export class NpyFile {
  readonly path: string
  readonly shape: readonly number[]
  readonly type: NpyType
  /** Bytes of one element of the first axis: an image, a row. */
  readonly itemBytes: number
  readonly #file: FileHandle
  readonly #element: NpyElement
  readonly #dataOffset: number

  private constructor(path: string, file: FileHandle, header: NpyHeader) {
    this.path = path
    this.shape = header.shape
    this.type = npyTypes[header.description].name
    this.#element = npyTypes[header.description]
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
    const bytes = allocate<Uint8Array<ArrayBuffer>>(Uint8Array, count * this.itemBytes, `examples of ${this.path}`)
    const offset = this.#dataOffset + start * this.itemBytes
    await readFully(this.#file, bytes, offset, this.path)
    return bytes
  }

  /**
   * The whole array as numbers; for labels and tables, not for images. int64 beyond 2^53 loses its last digits.
   * @throws DpmError DPM_OUT_OF_MEMORY, or DPM_ABORTED when the signal fires
   */
  async readNumbers(signal?: AbortSignal): Promise<Float64Array> {
    const { bytes: size, read } = this.#element
    const count = this.shape.reduce((a, b) => a * b, 1)
    const numbers = allocate(Float64Array, count, `the numbers of ${this.path}`)
    const block = new Uint8Array(Math.min(count, elementsAtOnce) * size)
    const view = new DataView(block.buffer)
    for (let start = 0; start < count; start += elementsAtOnce) {
      throwIfAborted(signal, `Reading ${this.path}`)
      const here = Math.min(elementsAtOnce, count - start)
      await readFully(this.#file, block.subarray(0, here * size), this.#dataOffset + start * size, this.path)
      for (let i = 0; i < here; i++) numbers[start + i] = read(view, i * size)
    }
    return numbers
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
    const format = foreignFormat(start.subarray(0, bytesRead))
    throw invalid(path, `it does not begin with \\x93NUMPY${format ? `: it is ${format.what}. ${format.cure}` : ''}`)
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
  if (!match) {
    const why = /'descr':\s*\[/.test(text)
      ? '. Its elements are records of several fields: save the columns, such as with `structured_to_unstructured`'
      : ''
    throw invalid(path, `its header is not that of a plain array: ${text.trim().slice(0, 80)}${why}`)
  }
  const [, description = '', order, sizes = ''] = match
  if (!isKnown(description)) {
    const known = Object.entries(npyTypes).map(([code, { name }]) => `${name} (${code})`)
    throw invalid(
      path,
      `its elements are ${description}${meaningOf(description)}, and ${known.join(', ')} are known. Convert it with \`astype\``,
    )
  }
  if (order === 'True') throw invalid(path, 'it is in Fortran order. Save it again with `numpy.ascontiguousarray`')
  const shape = sizes
    .split(',')
    .filter((size) => size.trim() !== '')
    .map(Number)
  return { description, shape }
}

/** What else NumPy has, in words. */
function meaningOf(description: string): string {
  const [order = '', kind = ''] = description
  const what: Readonly<Record<string, string>> = {
    O: 'Python objects, which are pickled',
    c: 'complex numbers',
    U: 'texts',
    S: 'bytes',
    V: 'raw bytes',
    M: 'dates',
    m: 'durations',
  }
  const meaning = what[kind] ?? (order === '>' ? 'big-endian' : '')
  return meaning && ` (${meaning})`
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
