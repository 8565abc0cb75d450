/** A strict reader of tar archives (POSIX ustar, and GNU's and V7's as far as they agree): regular files of short names. */
import { DpmError, throwIfAborted } from '../errors.js'
import { ByteReader } from './byte-pieces.js'

export interface TarEntry {
  readonly name: string
  readonly data: Uint8Array
}

const blockBytes = 512

/**
 * The wanted regular files of an archive, in its order. Nothing is written anywhere, so links and odd paths do no harm;
 * folders and extended headers are passed over.
 * @param maximumBytes size above which a wanted file is refused, so that a false archive cannot fill the memory.
 * @throws DpmError DPM_DATA_INVALID when a header's checksum is wrong or the archive ends early; DPM_ABORTED when the signal
 *   fires, while files are passed over too.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  place: string,
  wanted: (name: string) => boolean,
  maximumBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<TarEntry> {
  const stream = new ByteReader(heard(source, place, signal))
  const read = async (count: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(count)
    if ((await stream.read(bytes)) < count) throw invalid(place, 'it ends early')
    return bytes
  }
  try {
    for (;;) {
      const header = await read(blockBytes)
      if (header.every((byte) => byte === 0)) return
      const { name, size, regular } = parseHeader(header, place)
      const padded = Math.ceil(size / blockBytes) * blockBytes
      if (!regular || !wanted(name)) {
        if ((await stream.skip(padded)) < padded) throw invalid(place, 'it ends early')
        continue
      }
      if (size > maximumBytes) throw invalid(place, `${name} in it has ${size} bytes, more than ${maximumBytes}`)
      const data = await read(padded)
      yield { name, data: data.subarray(0, size) }
    }
  } finally {
    await stream.close()
  }
}

async function* heard(
  source: AsyncIterable<Uint8Array>,
  place: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    throwIfAborted(signal, `Reading ${place}`)
    yield piece
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

function invalid(place: string, reason: string): DpmError {
  return new DpmError('DPM_DATA_INVALID', `${place} is not a whole tar archive: ${reason}. Fetch it again.`, {
    details: { path: place },
  })
}
