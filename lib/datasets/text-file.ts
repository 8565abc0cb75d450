/** A text file in pieces: UTF-8 with or without a byte order mark, or UTF-16 with one. Whatever else it is, it is told. */
import { createReadStream } from 'node:fs'
import { TextDecoder } from 'node:util'
import { DpmError, throwIfAborted } from '../errors.js'
import { foreignFormat } from './foreign-format.js'
import { missingOr } from './missing.js'

/** A piece is parsed between two turns of the event loop. */
const pieceBytes = 1 << 18

const marks = [
  { bytes: [0xff, 0xfe, 0, 0], encoding: null },
  { bytes: [0, 0, 0xfe, 0xff], encoding: null },
  { bytes: [0xef, 0xbb, 0xbf], encoding: 'utf-8' },
  { bytes: [0xff, 0xfe], encoding: 'utf-16le' },
  { bytes: [0xfe, 0xff], encoding: 'utf-16be' },
] as const

/**
 * The text in order, its byte order mark left out.
 * @param cure what to do when the file is not there
 * @throws DpmError DPM_DATA_MISSING; DPM_DATA_INVALID naming the line that is not text, or the format that the file has;
 *   DPM_ABORTED when the signal fires.
 */
export async function* readText(path: string, cure: string, signal?: AbortSignal): AsyncGenerator<string> {
  const work = `Reading ${path}`
  throwIfAborted(signal, work)
  const stream = createReadStream(path, { highWaterMark: pieceBytes })
  let decoder: TextDecoder | undefined
  let line = 1
  try {
    for await (const piece of beginWhole(stream)) {
      throwIfAborted(signal, work)
      decoder ??= new TextDecoder(encodingOf(piece, path), { fatal: true })
      const text = decodePiece(decoder, piece, line, path)
      const nul = text.indexOf('\0')
      if (nul >= 0) {
        throw notText(path, line + lineEnds(text.slice(0, nul)), 'has a byte of 0', 'Save it as UTF-8 text.')
      }
      line += lineEnds(text)
      yield text
    }
    if (decoder) yield decodePiece(decoder, undefined, line, path)
  } catch (error) {
    if (error instanceof DpmError) throw error
    throwIfAborted(signal, work)
    missingOr(path, cure)(error)
  } finally {
    stream.destroy()
  }
}

/** A pipe may give its first bytes one by one: the first piece has what the encoding is known by. */
async function* beginWhole(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let start: Buffer | undefined = Buffer.alloc(0)
  for await (const piece of stream) {
    if (start === undefined) {
      yield piece
      continue
    }
    start = Buffer.concat([start, piece])
    if (start.length < 1024) continue
    yield start
    start = undefined
  }
  if (start !== undefined && start.length > 0) yield start
}

function encodingOf(start: Buffer, path: string): string {
  const mark = marks.find(({ bytes }) => bytes.every((byte, i) => start[i] === byte))
  if (mark?.encoding === null) throw notText(path, 1, 'is UTF-32', 'Save the file as UTF-8.')
  if (mark) return mark.encoding
  const format = foreignFormat(start.subarray(0, 1024))
  if (format) {
    throw new DpmError('DPM_DATA_INVALID', `${path} is ${format.what}. ${format.cure}`, { details: { path } })
  }
  return 'utf-8'
}

function decodePiece(decoder: TextDecoder, piece: Buffer | undefined, line: number, path: string): string {
  try {
    return piece ? decoder.decode(piece, { stream: true }) : decoder.decode()
  } catch (error) {
    if (decoder.encoding !== 'utf-8') {
      throw notText(path, line, `is not ${decoder.encoding.toUpperCase()}, as its first bytes say`, 'Fetch it again.')
    }
    throw notText(
      path,
      line + (piece ? goodLines(piece) : 0),
      'has bytes that are not UTF-8',
      'Save the file as UTF-8, such as with `iconv -f WINDOWS-1252 -t UTF-8`.',
      error,
    )
  }
}

/** Lines before the first that is not UTF-8. The first of a piece may begin in the middle of a character. */
function goodLines(piece: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let begin = 0
  while (begin < 4 && ((piece[begin] ?? 0) & 0xc0) === 0x80) begin++
  for (let count = 0; ; count++) {
    const end = piece.subarray(begin).findIndex((byte) => byte === 0x0a || byte === 0x0d)
    if (end < 0) return count
    try {
      decoder.decode(piece.subarray(begin, begin + end))
    } catch {
      return count
    }
    begin += end + (piece[begin + end] === 0x0d && piece[begin + end + 1] === 0x0a ? 2 : 1)
  }
}

/** LF, CRLF and CR; one that two pieces share is counted twice, which only a message shows. */
function lineEnds(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 10 || (code === 13 && text.charCodeAt(i + 1) !== 10)) count++
  }
  return count
}

function notText(path: string, line: number, reason: string, cure: string, cause?: unknown): DpmError {
  return new DpmError('DPM_DATA_INVALID', `Line ${line} of ${path} ${reason}. ${cure}`, {
    cause,
    details: { path, line },
  })
}
