/** Every call of native code goes through here: errors become {@link DpmError}, an AbortSignal becomes a cancellation. */
import { DpmError, isErrorCode, throwIfAborted } from '../errors.js'
import type { Binding, CancellationHandle } from './binding.js'
import { loadBinding } from './load.js'

/**
 * Runs one native job and awaits it inside an async function, so that the JavaScript stack of a failure shows the caller
 * (a native promise rejects from an empty stack).
 *
 * @param signal cancels the job at its next instruction; null is passed to the job where there is none.
 * @param job starts the job; it is not called when the signal has already fired.
 * @throws DpmError DPM_ABORTED, or the code that native code gives.
 */
export async function call<Result>(
  signal: AbortSignal | undefined,
  job: (binding: Binding, cancellation: CancellationHandle | null) => Promise<Result>,
  getBinding: () => Binding = loadBinding,
): Promise<Result> {
  throwIfAborted(signal)
  const binding = getBinding()
  if (!signal) {
    try {
      return await job(binding, null)
    } catch (error) {
      throw translate(error, undefined)
    }
  }
  const cancellation = binding.cancellationCreate()
  const cancel = () => binding.cancel(cancellation)
  signal.addEventListener('abort', cancel, { once: true })
  try {
    return await job(binding, cancellation)
  } catch (error) {
    throw translate(error, signal)
  } finally {
    signal.removeEventListener('abort', cancel)
    binding.dispose(cancellation)
  }
}

/** The same for functions that only touch handles and answer at once. */
export function callSync<Result>(work: (binding: Binding) => Result, getBinding: () => Binding = loadBinding): Result {
  const binding = getBinding()
  try {
    return work(binding)
  } catch (error) {
    throw translate(error, undefined)
  }
}

/** Mistakes in JavaScript, ours or a callback's, are not libtorch's: they pass as they are. */
const ownMistakes = [TypeError, RangeError, ReferenceError, SyntaxError]

function translate(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof DpmError) return error
  const { code, message, nativeStack, details } = readFailure(error)
  if (code === undefined && ownMistakes.some((kind) => error instanceof kind)) return error
  const known = isErrorCode(code) ? code : 'DPM_NATIVE'
  return new DpmError(known, message, {
    cause: known === 'DPM_ABORTED' && signal?.aborted ? signal.reason : error,
    ...(details ? { details } : {}),
    nativeStack,
  })
}

interface NativeFailure {
  readonly code: unknown
  readonly message: string
  readonly nativeStack: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined
}

function readFailure(error: unknown): NativeFailure {
  if (typeof error !== 'object' || error === null) {
    return { code: undefined, message: String(error), nativeStack: undefined, details: undefined }
  }
  const { code, message, nativeStack, details } = error as Record<string, unknown>
  return {
    code,
    message: typeof message === 'string' ? message : String(error),
    nativeStack: typeof nativeStack === 'string' && nativeStack !== '' ? nativeStack : undefined,
    details: typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : undefined,
  }
}
