/** Standard output and standard error that cannot be written to, and the warnings of the process. */
import { printableLines } from '../show.js'

const cures: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'your disk quota is used up',
  EFBIG: 'the file would be larger than the file system allows',
}

/**
 * What becomes of output that is refused. Whoever read a pipe may leave, as `head` does: then nothing more is wanted, and
 * that is no fault. A terminal that is gone reads no error either. A full disk is told on standard error, once, and the exit code
 * is 1; what standard error cannot say is not said.
 */
export function watchOutputs(): void {
  let told = false
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Work under way has something to save first: interrupt.ts.
    const isWorking = process.stdout.listenerCount('error') > 1
    if (error.code === 'EIO') return
    if (error.code === 'EPIPE') {
      if (!isWorking) process.exit(0)
      return
    }
    process.exitCode = 1
    if (told) return
    told = true
    const reason = cures[error.code ?? ''] ?? error.message
    process.stderr.write(`error: Could not write to standard output: ${reason} (${error.code}). [DPM_WRITE_FAILED]\n`)
  })
  process.stderr.on('error', () => undefined)
}

/** Warnings of ours are a line each; those of Node and of packages are for developers, and say so with DPM_TORCH_DEBUG. */
export function printWarnings(environment = process.env): void {
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message, stack }) => {
    const text = name === 'DpmWarning' ? message : environment['DPM_TORCH_DEBUG'] ? (stack ?? message) : undefined
    // A line of progress may stand there.
    const begin = process.stderr.isTTY ? '\r\x1b[2K' : ''
    if (text !== undefined) process.stderr.write(`${begin}warning: ${printableLines(text)}\n`)
  })
}
