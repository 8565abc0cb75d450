/** Downloads one file over HTTP into a `.part`, continuing where a broken connection left off. */
import { type FileHandle, open, rename } from 'node:fs/promises'
import { DpmError, throwIfAborted } from '../errors.js'
import { ProgressMeter, type ReportProgress, showBytes } from './progress.js'

export interface DownloadOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ReportProgress | undefined
  /** A server that sends nothing for so long is given up. */
  readonly silenceSeconds?: number
  /** A file is not larger than this; more is not written to the disk. */
  readonly mostBytes?: number
}

/** A source that refused or fell silent: `setup` goes on to the next one. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
}

const attempts = 4

/**
 * @returns the file's size in bytes.
 * @throws SourceError when the server refuses, is silent, keeps breaking off or leads from https to http; DpmError DPM_FILE_INVALID for
 *   more bytes than there should be, DPM_ABORTED; errors of the disk.
 */
export async function download(address: string, path: string, options: DownloadOptions = {}): Promise<number> {
  const { signal, onProgress } = options
  const part = `${path}.part`
  const file = await open(part, 'w')
  const meter = new ProgressMeter('download', decodeURIComponent(address.split('/').pop() ?? address), null, onProgress)
  try {
    for (let attempt = 1; ; attempt++) {
      const before = meter.doneBytes
      try {
        await receive(address, file, meter, options)
        break
      } catch (error) {
        throwIfAborted(signal, 'The download')
        // Only a server that has sent something is worth another try.
        if (!(error instanceof SourceError) || meter.doneBytes === before || attempt === attempts) throw error
      }
    }
  } finally {
    await file.close()
  }
  await rename(part, path)
  return meter.doneBytes
}

async function receive(
  address: string,
  file: FileHandle,
  meter: ProgressMeter,
  options: DownloadOptions,
): Promise<void> {
  const { signal, silenceSeconds = 10, mostBytes = Number.POSITIVE_INFINITY } = options
  const silence = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const restart = () => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(), silenceSeconds * 1000)
  }
  restart()
  try {
    const either = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal
    const headers = meter.doneBytes > 0 ? { range: `bytes=${meter.doneBytes}-` } : {}
    const response = await request(address, headers, either)
    if (!response.ok || !response.body)
      throw new SourceError(`it answered ${response.status} ${response.statusText}`.trim())
    if (response.status !== 206) meter.doneBytes = 0
    else if (rangeStart(response) !== meter.doneBytes)
      throw new SourceError('it went on at another byte than it was asked for')
    const announced = response.headers.get('content-length')
    meter.totalBytes = announced === null ? null : meter.doneBytes + Number(announced)
    requireBelow(meter.totalBytes ?? 0, mostBytes)
    for await (const chunk of response.body) {
      restart()
      requireBelow(meter.doneBytes + chunk.byteLength, mostBytes)
      await write(file, chunk, meter.doneBytes)
      meter.add(chunk.byteLength)
    }
    if (meter.totalBytes !== null && meter.doneBytes !== meter.totalBytes) {
      throw new SourceError(`it sent ${meter.doneBytes} of ${meter.totalBytes} bytes`)
    }
  } catch (error) {
    throwIfAborted(signal, 'The download')
    if (silence.signal.aborted) throw new SourceError(`it was silent for ${silenceSeconds} s`)
    if (error instanceof SourceError || error instanceof DpmError || isDiskError(error)) throw error
    throw new SourceError(describe(error))
  } finally {
    clearTimeout(timer)
  }
}

const mostRedirects = 10

/** Follows redirects, but not from https to anything else: what was asked for in secret is not taken from the open road. */
async function request(address: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  let at = new URL(address)
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const response = await fetch(at, { signal, headers, redirect: 'manual' })
    const location = response.headers.get('location')
    if (response.status < 300 || response.status > 399 || location === null) return response
    await response.body?.cancel()
    const next = new URL(location, at)
    const isSafe = next.protocol === 'https:' || (next.protocol === 'http:' && at.protocol === 'http:')
    if (!isSafe)
      throw new SourceError(`it leads from ${at.protocol}// to ${next.protocol}//${next.host}, which is refused`)
    at = next
  }
  throw new SourceError(`it leads on more than ${mostRedirects} times`)
}

/** First byte of a part: `bytes 100-999/1000`. Undefined where the server does not say. */
function rangeStart(response: Response): number | undefined {
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]
  return start === undefined ? undefined : Number(start)
}

/** @throws DpmError DPM_FILE_INVALID: the source is passed over, and not asked again. */
function requireBelow(bytes: number, mostBytes: number): void {
  if (bytes <= mostBytes) return
  throw new DpmError('DPM_FILE_INVALID', `it sends more than the ${showBytes(mostBytes)} that a libtorch has`)
}

async function write(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  let at = 0
  while (at < chunk.byteLength) {
    const { bytesWritten } = await file.write(chunk, at, chunk.byteLength - at, position + at)
    at += bytesWritten
  }
}

function isDiskError(error: unknown): boolean {
  const { syscall } = error as { syscall?: unknown }
  return syscall === 'write' || syscall === 'open'
}

/** fetch says only "fetch failed"; what failed is in the cause. */
function describe(error: unknown): string {
  const { cause, message } = error as Error
  const below = cause instanceof Error ? cause : undefined
  const code = below && 'code' in below ? String(below.code) : ''
  return [below?.message || code || message].join('')
}
