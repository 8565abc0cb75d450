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

/**
 * Native code gives every error of its own a code of ours. Whatever else comes by was thrown by JavaScript, ours or the
 * caller's, and passes as it is.
 */
function translate(error: unknown, signal: AbortSignal | undefined): unknown {
  if (!(error instanceof Error) || error instanceof DpmError) return error
  const { code, nativeStack, details } = error as Partial<Record<'code' | 'nativeStack' | 'details', unknown>>
  if (!isErrorCode(code)) return error
  return new DpmError(code, error.message, {
    cause: code === 'DPM_ABORTED' && signal?.aborted ? signal.reason : error,
    ...(typeof details === 'object' && details !== null ? { details: details as Record<string, unknown> } : {}),
    nativeStack: typeof nativeStack === 'string' && nativeStack !== '' ? nativeStack : undefined,
  })
}
