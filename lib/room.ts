/** Memory that a call asks for, against what there is: said before anything is allocated, since running out ends a process. */
import { totalmem } from 'node:os'
import { DpmError } from './errors.js'

/**
 * @param bytes that will be needed at the same time.
 * @param what needs them, for the message; in the plural or a number of things.
 * @throws DpmError DPM_OUT_OF_MEMORY where the machine, or the container, has fewer in all.
 */
export function requireRoom(bytes: number, what: string, cure = ''): void {
  const limit = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
  if (bytes <= limit) return
  const message = `${what} take ${gigabytes(bytes)}, and there are ${gigabytes(limit)} of memory.${cure ? ` ${cure}` : ''}`
  throw new DpmError('DPM_OUT_OF_MEMORY', message, { details: { requestedBytes: bytes } })
}

function gigabytes(bytes: number): string {
  const size = bytes / 1e9
  return `${size < 100 ? size.toFixed(1) : Math.round(size).toLocaleString('en-US')} GB`
}
