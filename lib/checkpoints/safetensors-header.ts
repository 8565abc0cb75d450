/**
 * The header of a safetensors file:
 * `{"name":{"dtype","shape","data_offsets":[begin,end]}, "__metadata__":{string:string}}`.
 *
 * It is read by a parser of its own rather than by `JSON.parse`, because a file may come from anywhere: the first entry
 * that breaks a rule ends the reading, so memory stays bounded, a name that occurs twice is seen, and no name of a file
 * (`__proto__`, `constructor`) ever becomes a property of an object.
 *
 * Format: https://github.com/huggingface/safetensors#format
 */
import { DpmError, show } from '../errors.js'

/** Bytes of one element, by the format's names. */
export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  C64: 8,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const
export type SafetensorsDType = keyof typeof dtypeBytes

/** Where one tensor lies: `begin` and `end` count bytes from the end of the header. */
export interface TensorEntry {
  readonly name: string
  readonly dtype: SafetensorsDType
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

export interface SafetensorsHeader {
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>
  readonly metadata: ReadonlyMap<string, string>
}

/** The format's own bound on the header, in bytes. */
export const maximumHeaderBytes = 100_000_000
/** More than any network has; what bounds the memory that a hostile header can take. */
const maximumEntries = 200_000
const maximumRank = 64
const maximumNameLength = 1024
const notAName = /[\p{Cc}\p{Cs}]|\.\./u

/** A file that breaks the format: names the file, what is wrong, and what to do. */
export function invalidFile(path: string, reason: string, cause?: unknown): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} is not a valid safetensors file: ${reason}. It is truncated, corrupt or in another format; ` +
      'use another copy of it.',
    { cause, details: { path } },
  )
}

/** Why a tensor must not have this name; undefined when it may. */
export function nameFault(name: string): string | undefined {
  if (name === '') return 'is empty'
  if (name === '__metadata__') return 'is reserved for the metadata'
  if (name.length > maximumNameLength) return `is longer than ${maximumNameLength} characters`
  if (notAName.test(name)) return 'contains "..", a control character or half a surrogate pair'
  return undefined
}

/** Bytes that a shape takes, or undefined when they are more than a number can count exactly. */
export function shapeBytes(dtype: SafetensorsDType, shape: readonly number[]): number | undefined {
  if (shape.includes(0)) return 0
  let bytes: number = dtypeBytes[dtype]
  for (const size of shape) {
    bytes *= size
    if (!Number.isSafeInteger(bytes)) return undefined
  }
  return bytes
}

/**
 * Reads a header and holds it to every rule of the format.
 * @param dataBytes bytes of the file after the header: the tensors must cover exactly these.
 * @throws DpmError DPM_FILE_INVALID naming the file, the tensor and the numbers.
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, path: string): SafetensorsHeader {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw invalidFile(path, 'its header is not UTF-8 text', error)
  }
  const { entries, metadata } = new HeaderParser(text, path).parse()
  return { tensors: coverData(entries, dataBytes, path), metadata }
}

/** Tensors must lie one behind the other: no gap, no overlap, nothing left over. */
function coverData(entries: readonly TensorEntry[], dataBytes: number, path: string): Map<string, TensorEntry> {
  const ordered = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)
  let covered = 0
  for (const { name, begin, end } of ordered) {
    const range = `tensor ${show(name)} lies at bytes ${begin} to ${end}`
    if (begin < covered) throw invalidFile(path, `${range} and overlaps the tensor before it, which ends at ${covered}`)
    if (begin > covered) throw invalidFile(path, `${range}, leaving a gap after byte ${covered}`)
    if (end > dataBytes) throw invalidFile(path, `${range}, but the file holds only ${dataBytes} bytes of data`)
    covered = end
  }
  if (covered !== dataBytes) {
    throw invalidFile(path, `its tensors take ${covered} bytes, but it holds ${dataBytes} bytes of data`)
  }
  return new Map(ordered.map((entry) => [entry.name, entry]))
}

const integer = /(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y
const blank = /[ \t\n\r]*/y

class HeaderParser {
  readonly #text: string
  readonly #path: string
  #position = 0

  constructor(text: string, path: string) {
    this.#text = text
    this.#path = path
  }

  parse(): { entries: TensorEntry[]; metadata: Map<string, string> } {
    if (!this.#text.startsWith('{')) throw this.#fault('its header does not begin with "{"')
    const entries: TensorEntry[] = []
    let metadata = new Map<string, string>()
    this.#object('the header', maximumEntries, (name) => {
      if (name === '__metadata__') {
        metadata = this.#metadata()
        return
      }
      const fault = nameFault(name)
      if (fault) throw this.#fault(`the tensor name ${show(name)} ${fault}`)
      entries.push(this.#entry(name))
    })
    this.#skipBlank()
    if (this.#position !== this.#text.length) throw this.#fault(`its header goes on after its end at ${this.#position}`)
    return { entries, metadata }
  }

  #entry(name: string): TensorEntry {
    const place = `tensor ${show(name)}`
    let dtype: SafetensorsDType | undefined
    let shape: number[] | undefined
    let offsets: number[] | undefined
    this.#object(place, 3, (field) => {
      if (field === 'dtype') dtype = this.#dtype(place)
      else if (field === 'shape') shape = this.#integers(place, maximumRank)
      else if (field === 'data_offsets') offsets = this.#integers(place, 2)
      else throw this.#fault(`${place} has an unknown field ${show(field)}`)
    })
    const [begin, end] = offsets ?? []
    if (!dtype || !shape || begin === undefined || end === undefined) {
      throw this.#fault(`${place} lacks one of dtype, shape and data_offsets`)
    }
    if (begin > end) throw this.#fault(`${place} ends at byte ${end}, before it begins at ${begin}`)
    const needed = shapeBytes(dtype, shape)
    if (needed !== end - begin) {
      const size = `${dtype} of shape [${shape.join(', ')}] takes ${needed ?? 'more than 2^53'} bytes`
      throw this.#fault(`${place} has ${end - begin} bytes at ${begin} to ${end}, but ${size}`)
    }
    return { name, dtype, shape, begin, end }
  }

  #dtype(place: string): SafetensorsDType {
    const dtype = this.#string(`the dtype of ${place}`)
    if (!isDType(dtype)) {
      throw this.#fault(`${place} has dtype ${show(dtype)}, which is none of ${Object.keys(dtypeBytes).join(', ')}`)
    }
    return dtype
  }

  #metadata(): Map<string, string> {
    const metadata = new Map<string, string>()
    this.#object('__metadata__', maximumEntries, (name) => {
      metadata.set(name, this.#string(`the metadata ${show(name)}`))
    })
    return metadata
  }

  /** Calls `value` for each key, with the position at that key's value. */
  #object(place: string, maximumKeys: number, value: (key: string) => void): void {
    const seen = new Set<string>()
    this.#take('{', place)
    if (this.#accept('}')) return
    do {
      const key = this.#string(`a name in ${place}`)
      if (seen.has(key)) throw this.#fault(`${show(key)} occurs twice in ${place}`)
      if (seen.size === maximumKeys) throw this.#fault(`${place} has more than ${maximumKeys} entries`)
      seen.add(key)
      this.#take(':', place)
      value(key)
    } while (this.#accept(','))
    this.#take('}', place)
  }

  #integers(place: string, maximumLength: number): number[] {
    const numbers: number[] = []
    this.#take('[', place)
    if (this.#accept(']')) return numbers
    do {
      this.#skipBlank()
      integer.lastIndex = this.#position
      const token = integer.exec(this.#text)?.[0]
      const number = Number(token)
      if (token === undefined || !Number.isSafeInteger(number)) {
        throw this.#fault(`${place} has something else than a whole number of at least 0 at ${this.#position}`)
      }
      if (numbers.length === maximumLength)
        throw this.#fault(`${place} has a list of more than ${maximumLength} numbers`)
      numbers.push(number)
      this.#position += token.length
    } while (this.#accept(','))
    this.#take(']', place)
    return numbers
  }

  #string(place: string): string {
    this.#skipBlank()
    const start = this.#position
    if (this.#text[start] !== '"') throw this.#fault(`${place} is not a string, at ${start}`)
    let end = start
    let escaped = true
    while (escaped) {
      end = this.#text.indexOf('"', end + 1)
      if (end < 0) throw this.#fault(`${place} is a string without an end, at ${start}`)
      let backslashes = 0
      while (this.#text[end - 1 - backslashes] === '\\') backslashes++
      escaped = backslashes % 2 === 1
    }
    this.#position = end + 1
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string
    } catch (error) {
      throw invalidFile(this.#path, `${place} is not a valid JSON string, at ${start}`, error)
    }
  }

  #take(character: string, place: string): void {
    if (!this.#accept(character))
      throw this.#fault(`expected "${character}" in ${place} at ${this.#position} of the header`)
  }

  #accept(character: string): boolean {
    this.#skipBlank()
    if (this.#text[this.#position] !== character) return false
    this.#position++
    return true
  }

  #skipBlank(): void {
    blank.lastIndex = this.#position
    blank.exec(this.#text)
    this.#position = blank.lastIndex
  }

  #fault(reason: string): DpmError {
    return invalidFile(this.#path, reason)
  }
}

function isDType(name: string): name is SafetensorsDType {
  return Object.hasOwn(dtypeBytes, name)
}
