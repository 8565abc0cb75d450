/** Downloads one file over HTTP into a `.part`, continuing where a broken connection left off. */
import { type FileHandle, open, rename } from 'node:fs/promises'
import { DpmError, throwIfAborted } from '../errors.js'
import { ProgressMeter, type ReportProgress } from './progress.js'

export interface DownloadOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ReportProgress | undefined
  /** A server that sends nothing for so long is given up. */
  readonly silenceSeconds?: number
}

/** A source that refused or fell silent: `setup` goes on to the next one. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
}

const attempts = 4

/**
 * @returns the file's size in bytes.
 * @throws SourceError when the server refuses, is silent or keeps breaking off; DpmError DPM_ABORTED; errors of the disk.
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
  const { signal, silenceSeconds = 10 } = options
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
    const response = await fetch(address, { signal: either, headers })
    if (!response.ok || !response.body)
      throw new SourceError(`it answered ${response.status} ${response.statusText}`.trim())
    if (response.status !== 206) meter.doneBytes = 0
    const announced = response.headers.get('content-length')
    meter.totalBytes = announced === null ? null : meter.doneBytes + Number(announced)
    for await (const chunk of response.body) {
      restart()
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
