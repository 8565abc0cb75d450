import { availableParallelism } from 'node:os'
import { throwIfAborted } from '../errors.js'

/** Enough codecs at a time to keep libuv's four threads busy, more on machines that gave it more. */
export const codecConcurrency = Math.max(4, availableParallelism())

/**
 * Runs `work` for 0 … count - 1, a few at a time. The first failure, or the signal, stops new work; the promise settles
 * only when what had begun has ended, so nothing writes into the caller's buffers afterwards.
 * @throws the failure of the lowest number among those that had begun.
 */
export async function eachConcurrently(
  count: number,
  work: (index: number) => Promise<void>,
  signal?: AbortSignal,
  concurrency = codecConcurrency,
): Promise<void> {
  throwIfAborted(signal, 'Reading or writing pictures')
  const failures: { readonly index: number; readonly error: unknown }[] = []
  let next = 0
  const workOn = async (): Promise<void> => {
    while (next < count && failures.length === 0 && !signal?.aborted) {
      const index = next++
      try {
        await work(index)
      } catch (error) {
        failures.push({ index, error })
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, workOn))
  throwIfAborted(signal, 'Reading or writing pictures')
  const [failure] = failures.sort((a, b) => a.index - b.index)
  if (failure) throw failure.error
}
