/** Every way in which dpm-torch says no. One class, one code per kind of failure. */
import { printableLines, show } from './show.js'

export { show }

/** What each {@link DpmError} code means; the keys are the codes. */
export const errorCodes = {
  DPM_INVALID_OPTION: 'an option has a wrong name, type or value',
  DPM_INVALID_ARGUMENT: 'an argument of a call has a wrong type, shape or value',
  DPM_DISPOSED: 'a tensor, network or run was used after dispose()',
  DPM_ABORTED: 'the caller cancelled the work through its AbortSignal',
  DPM_OUT_OF_MEMORY: 'the device or the machine has no memory left',
  DPM_NOT_IMPLEMENTED: 'libtorch has no such operation for this dtype or device',
  DPM_DEVICE_UNAVAILABLE: 'the device asked for is not on this machine',
  DPM_LIBTORCH_MISSING: 'no libtorch was found',
  DPM_LIBTORCH_MISMATCH: 'the libtorch found has another version or is incomplete',
  DPM_ADDON_MISSING: 'the native addon is neither built nor prebuilt here',
  DPM_PLATFORM_UNSUPPORTED: 'this operating system, processor or C library is not supported',
  DPM_NATIVE: 'libtorch reported an error',
  DPM_NON_FINITE: 'a loss, a gradient or a sample became NaN or infinite',
  DPM_FILE_MISSING: 'a file or folder does not exist',
  DPM_FILE_INVALID: 'a file is truncated, corrupt or in another format',
  DPM_DATA_MISSING: 'the data set is not where it was looked for',
  DPM_DATA_INVALID: 'the data set has no usable examples, or they do not fit the settings',
  DPM_NOT_TRUSTED: 'a file names a program to run, and the caller has not allowed it',
  DPM_WRITE_FAILED: 'a file could not be written: disk full, read-only or no permission',
  DPM_RUN_LOCKED: 'another process is using the run folder',
  DPM_SETUP_FAILED: 'libtorch could not be installed from any source',
  DPM_INTERNAL: 'a fault in dpm-torch itself',
} as const

export type DpmErrorCode = keyof typeof errorCodes

export interface DpmErrorOptions {
  /** The error underneath, if any. */
  readonly cause?: unknown
  /** Numbers and names that a program may want, e.g. `{ requestedBytes }`. */
  readonly details?: Readonly<Record<string, unknown>>
  /** The C++ stack, when the error came from native code that has one. */
  readonly nativeStack?: string | undefined
}

/** The one error class of dpm-torch. `code` is stable, `message` is for people: value, place, choices, cure. */
export class DpmError extends Error {
  override readonly name: string
  readonly code: DpmErrorCode
  readonly details: Readonly<Record<string, unknown>>
  readonly nativeStack: string | undefined

  constructor(code: DpmErrorCode, message: string, options: DpmErrorOptions = {}) {
    // A message quotes what came from elsewhere, and is printed on terminals.
    super(printableLines(message), options.cause === undefined ? undefined : { cause: options.cause })
    // Node's own convention: callers tell cancelled work from failed work by this name.
    this.name = code === 'DPM_ABORTED' ? 'AbortError' : 'DpmError'
    this.code = code
    this.details = options.details ?? {}
    this.nativeStack = options.nativeStack
  }
}

export function isErrorCode(code: unknown): code is DpmErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCodes, code)
}

/** The house sentence for bad input: *Expected A for `name` but received B.* followed by a cure, if there is one. */
export function expected(
  what: string,
  name: string,
  received: unknown,
  cure = '',
  code: DpmErrorCode = 'DPM_INVALID_ARGUMENT',
): DpmError {
  return new DpmError(code, `Expected ${what} for \`${name}\` but received ${show(received)}.${cure ? ` ${cure}` : ''}`)
}

/** Throws `DPM_ABORTED` if the signal has fired; the signal's reason is the cause. */
export function throwIfAborted(signal: AbortSignal | undefined, work = 'The work'): void {
  if (!signal) return
  if (typeof signal.aborted !== 'boolean' || typeof signal.addEventListener !== 'function') {
    throw expected('an AbortSignal', 'signal', signal, '', 'DPM_INVALID_OPTION')
  }
  if (signal.aborted) throw new DpmError('DPM_ABORTED', `${work} was cancelled.`, { cause: signal.reason })
}
