/** What a user sees when a command fails, and the exit code: 1 failed, 2 wrong usage, 130 or 143 interrupted. */
import { DpmError, type DpmErrorCode } from '../errors.js'
import type { CommonFlags } from './flags.js'
import { Interruption } from './interrupt.js'

export const usageExitCode = 2

/** What another command line would mend. A file or device that is not there is no wrong usage. */
const usageCodes: readonly DpmErrorCode[] = ['DPM_INVALID_OPTION', 'DPM_INVALID_ARGUMENT']

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof DpmError)) return 1
  if (error.cause instanceof Interruption) return error.cause.exitCode
  return usageCodes.includes(error.code) ? usageExitCode : 1
}

/** Prints an error: its message and code; of a fault that has no code, or when asked for, also where it happened. */
export function reportFailure(error: unknown, flags: CommonFlags, environment = process.env): void {
  const verbose = flags.verbose === true || Boolean(environment['DPM_TORCH_DEBUG'])
  const isOurs = error instanceof DpmError
  const message = error instanceof Error ? error.message : String(error)
  const isInterrupted = isOurs && error.cause instanceof Interruption
  if (!isInterrupted || verbose) process.stderr.write(`error: ${message}${isOurs ? ` [${error.code}]` : ''}\n`)
  if (verbose && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ''}\n`)
    if (error.cause !== undefined) process.stderr.write(`caused by: ${describeCause(error.cause)}\n`)
    if (isOurs && error.nativeStack) process.stderr.write(`${error.nativeStack}\n`)
  } else if (!isOurs) {
    process.stderr.write('This is a fault in dpm-torch. Run it again with --verbose to see where it happened.\n')
  }
  if (flags.json) {
    const code = isOurs ? error.code : 'DPM_INTERNAL'
    process.stdout.write(
      `${JSON.stringify({ error: { code, message, ...(isOurs ? { details: error.details } : {}) } })}\n`,
    )
  }
}

function describeCause(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
}
