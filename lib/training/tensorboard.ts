/**
 * TensorBoard event files: a chain of TFRecords, each of which holds one `Event` message in protocol-buffer encoding.
 * Only the few fields that curves and images need are written.
 *
 * Record: length (uint64), masked CRC-32C of the length, the message, masked CRC-32C of the message, little-endian.
 * Messages: tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expected } from '../errors.js'
import { systemCode, writeFailure } from '../files/file-failure.js'
import { maskedCrc32c } from './crc32c.js'

export interface EventWriterOptions {
  /** The step that a run continues from: TensorBoard then forgets what earlier files say of later steps. */
  readonly resumeStep?: number | undefined
  /** Milliseconds since 1970; the clock of the machine unless a test sets it. */
  readonly now?: () => number
}

/** So much is kept in memory before it is written without being asked. */
const bufferedBytes = 256 * 1024

/**
 * Appends to one event file `events.out.tfevents.<seconds>.<host>.<pid>`. Calls return at once; `flush` waits until
 * all is in the file, and reports what could not be written.
 */
export class EventWriter {
  readonly path: string
  readonly #file: FileHandle
  readonly #now: () => number
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  #tail: Promise<void> = Promise.resolve()

  private constructor(path: string, file: FileHandle, now: () => number) {
    this.path = path
    this.#file = file
    this.#now = now
  }

  /**
   * Begins a new event file in a folder that exists.
   * @throws DpmError DPM_WRITE_FAILED.
   */
  static async create(folder: string, options: EventWriterOptions = {}): Promise<EventWriter> {
    const { resumeStep, now = Date.now } = options
    const { path, file } = await createFile(folder, now())
    const writer = new EventWriter(path, file, now)
    writer.#event([stringField(eventFields.fileVersion, 'brain.Event:2')])
    if (resumeStep !== undefined) {
      // A session log that says START at a step makes readers drop that step and all later ones of earlier files.
      const start = message([varintField(sessionLogFields.status, sessionStart)])
      writer.#event([stepField(resumeStep + 1), bytesField(eventFields.sessionLog, start)])
    }
    await writer.flush()
    return writer
  }

  /** One point of the curve `tag`, as float32; NaN and infinity are kept. The tag `loss/train` is shown in group `loss`. */
  scalar(tag: string, value: number, step: number): void {
    this.#summary(tag, step, floatField(valueFields.simpleValue, value))
  }

  /** A PNG image, shown with a slider over its steps. */
  image(tag: string, png: Uint8Array, width: number, height: number, step: number): void {
    const image = message([
      varintField(imageFields.height, height),
      varintField(imageFields.width, width),
      varintField(imageFields.colorspace, colorspaceOf(png)),
      bytesField(imageFields.encodedImage, png),
    ])
    this.#summary(tag, step, bytesField(valueFields.image, image))
  }

  /**
   * Waits until everything is in the file.
   * @throws DpmError DPM_WRITE_FAILED.
   */
  async flush(): Promise<void> {
    const parts = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    const write = this.#tail.then(async () => {
      if (parts.length === 0) return
      await this.#file.appendFile(Buffer.concat(parts)).catch((error: unknown) => {
        throw writeFailure(this.path, error)
      })
    })
    this.#tail = write
    // Whoever flushes next hears of a failure; until then it must not count as unhandled.
    write.catch(() => undefined)
    return write
  }

  async close(): Promise<void> {
    try {
      await this.flush()
    } finally {
      await this.#file.close()
    }
  }

  #summary(tag: string, step: number, value: Uint8Array): void {
    if (!Number.isSafeInteger(step) || step < 0) throw expected('a whole number of at least 0', 'step', step)
    const summary = bytesField(summaryFields.value, message([stringField(valueFields.tag, tag), value]))
    this.#event([stepField(step), bytesField(eventFields.summary, summary)])
    if (this.#pendingBytes > bufferedBytes) void this.flush()
  }

  #event(fields: readonly Uint8Array[]): void {
    const record = frame(message([doubleField(eventFields.wallTime, this.#now() / 1000), ...fields]))
    this.#pending.push(record)
    this.#pendingBytes += record.length
  }
}

/** Two writers of one process may begin in the same second: the second one's name gets a number more. */
async function createFile(folder: string, now: number): Promise<{ path: string; file: FileHandle }> {
  const seconds = String(Math.floor(now / 1000)).padStart(10, '0')
  const name = `events.out.tfevents.${seconds}.${hostname()}.${process.pid}`
  for (let copy = 0; ; copy++) {
    const path = join(folder, copy === 0 ? name : `${name}.${copy}`)
    try {
      return { path, file: await open(path, 'ax') }
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw writeFailure(path, error)
    }
  }
}

function frame(event: Uint8Array): Uint8Array {
  const record = Buffer.alloc(12 + event.length + 4)
  record.writeBigUInt64LE(BigInt(event.length), 0)
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8)
  record.set(event, 12)
  record.writeUInt32LE(maskedCrc32c(event), 12 + event.length)
  return record
}

const pngSignature = Buffer.from('89504e470d0a1a0a', 'hex')
/** PNG colour type (byte 25 of the file) → number of channels, which is what `colorspace` counts. */
const channelsByColorType: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 }

function colorspaceOf(png: Uint8Array): number {
  const channels = channelsByColorType[png[25] ?? -1]
  if (!pngSignature.equals(png.subarray(0, 8)) || channels === undefined) throw expected('a PNG file', 'png', png)
  return channels
}

// Field numbers of the messages, from the .proto files named above.
const eventFields = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const
const sessionLogFields = { status: 1 } as const
const sessionStart = 1
const summaryFields = { value: 1 } as const
const valueFields = { tag: 1, simpleValue: 2, image: 4 } as const
const imageFields = { height: 1, width: 2, colorspace: 3, encodedImage: 4 } as const

// The wire format: https://protobuf.dev/programming-guides/encoding/

function message(fields: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(fields)
}

function key(field: number, wireType: 0 | 1 | 2 | 5): Uint8Array {
  return varint(field * 8 + wireType)
}

/** Seven bits a byte, lowest first; the high bit says that more follow. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80)
  return Uint8Array.from([...bytes, rest])
}

function varintField(field: number, value: number): Uint8Array {
  return message([key(field, 0), varint(value)])
}

function stepField(step: number): Uint8Array {
  return varintField(eventFields.step, step)
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return message([key(field, 2), varint(bytes.length), bytes])
}

function stringField(field: number, text: string): Uint8Array {
  return bytesField(field, Buffer.from(text))
}

function doubleField(field: number, value: number): Uint8Array {
  return message([key(field, 1), new Uint8Array(Float64Array.of(value).buffer)])
}

function floatField(field: number, value: number): Uint8Array {
  return message([key(field, 5), new Uint8Array(Float32Array.of(value).buffer)])
}
