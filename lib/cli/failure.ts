/** What a user sees when a command fails, and the exit code: 1 failed, 2 wrong usage, 129, 130 or 143 interrupted. */
import { DpmError, type DpmErrorCode } from '../errors.js'
import { printableLines } from '../show.js'
import type { CommonFlags } from './flags.js'
import { Interruption } from './interrupt.js'
import { printLine } from './print-line.js'

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
  if (!isInterrupted || verbose) complain(`error: ${message}${isOurs ? ` [${error.code}]` : ''}`)
  if (verbose && error instanceof Error) {
    complain(error.stack ?? '')
    if (error.cause !== undefined) complain(`caused by: ${describeCause(error.cause)}`)
    if (isOurs && error.nativeStack) complain(error.nativeStack)
  } else if (!isOurs) {
    complain('This is a fault in dpm-torch. Run it again with --verbose to see where it happened.')
  }
  if (flags.json) {
    const code = isOurs ? error.code : 'DPM_INTERNAL'
    printLine(JSON.stringify({ error: { code, message, ...(isOurs ? { details: error.details } : {}) } }))
  }
}

function complain(text: string): void {
  process.stderr.write(`${printableLines(text)}\n`)
}

function describeCause(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
}
