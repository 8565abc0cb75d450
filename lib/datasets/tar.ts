/** A strict reader of tar archives (POSIX ustar, and GNU's and V7's as far as they agree): regular files of short names. */
import { DpmError } from '../errors.js'

export interface TarEntry {
  readonly name: string
  readonly data: Uint8Array
}

const blockBytes = 512

/**
 * The wanted regular files of an archive, in its order. Nothing is written anywhere, so links and odd paths do no harm;
 * folders and extended headers are passed over.
 * @param maximumBytes size above which a wanted file is refused, so that a false archive cannot fill the memory.
 * @throws DpmError DPM_DATA_INVALID when a header's checksum is wrong or the archive ends early.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  place: string,
  wanted: (name: string) => boolean,
  maximumBytes: number,
): AsyncGenerator<TarEntry> {
  const stream = new BlockReader(source, place)
  for (;;) {
    const header = await stream.read(blockBytes)
    if (header.every((byte) => byte === 0)) return
    const { name, size, regular } = parseHeader(header, place)
    const padded = Math.ceil(size / blockBytes) * blockBytes
    if (!regular || !wanted(name)) {
      await stream.skip(padded)
      continue
    }
    if (size > maximumBytes) throw invalid(place, `${name} in it has ${size} bytes, more than ${maximumBytes}`)
    const data = await stream.read(padded)
    yield { name, data: data.subarray(0, size) }
  }
}

function parseHeader(header: Uint8Array, place: string): { name: string; size: number; regular: boolean } {
  const text = (start: number, length: number): string => {
    const field = Buffer.from(header.subarray(start, start + length)).toString('latin1')
    return field.split('\0', 1)[0] ?? ''
  }
  const octal = (start: number, length: number): number => {
    const digits = text(start, length).trim()
    return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
  }
  // The checksum is the sum of all bytes, its own eight counted as spaces.
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0)
  if (octal(148, 8) !== sum) throw invalid(place, 'the checksum of a header in it is wrong')
  const size = octal(124, 12)
  if (!Number.isSafeInteger(size)) throw invalid(place, 'a header in it has no size')
  const prefix = text(257, 5) === 'ustar' && header[262] === 0 ? text(345, 155) : ''
  const type = header[156]
  return {
    name: (prefix ? `${prefix}/` : '') + text(0, 100),
    size,
    regular: type === 0 || type === 0x30,
  }
}

/** Reads exact numbers of bytes from pieces of any size. */
class BlockReader {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #place: string
  #piece: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array>, place: string) {
    this.#pieces = source[Symbol.asyncIterator]()
    this.#place = place
  }

  async read(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count)
    await this.#take(count, (part, at) => bytes.set(part, at))
    return bytes
  }

  skip(count: number): Promise<void> {
    return this.#take(count, () => undefined)
  }

  async #take(count: number, use: (part: Uint8Array, at: number) => void): Promise<void> {
    for (let at = 0; at < count; ) {
      if (this.#piece.length === 0) {
        const next = await this.#pieces.next()
        if (next.done) throw invalid(this.#place, 'it ends early')
        this.#piece = next.value
      }
      const part = this.#piece.subarray(0, count - at)
      use(part, at)
      at += part.length
      this.#piece = this.#piece.subarray(part.length)
    }
  }
}

function invalid(place: string, reason: string): DpmError {
  return new DpmError('DPM_DATA_INVALID', `${place} is not a whole tar archive: ${reason}. Fetch it again.`, {
    details: { path: place },
  })
}
