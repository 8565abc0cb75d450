/**
 * Callbacks of the caller's. What one throws, whatever it is, is what the call rejects with, unchanged. One that returns a
 * promise is waited for before the call settles, and the work goes on meanwhile; a rejection ends the work at the next call.
 */

/**
 * Does work that tells a callback how far it is.
 * @param callback of the caller's; may be absent.
 * @param work is given the callback, to be called as it goes; undefined where there is none.
 */
export async function withCallback<Arguments extends readonly unknown[], Result>(
  callback: ((...values: Arguments) => unknown) | undefined,
  work: (tell: ((...values: Arguments) => void) | undefined) => Promise<Result>,
): Promise<Result> {
  if (!callback) return work(undefined)
  const failures: { readonly error: unknown }[] = []
  const pending = new Set<Promise<unknown>>()
  const tell = (...values: Arguments): void => {
    if (failures[0]) throw failures[0].error
    try {
      const answer = callback(...values)
      if (!isPromise(answer)) return
      const settled: Promise<unknown> = Promise.resolve(answer).then(
        () => pending.delete(settled),
        (error: unknown) => failures.push({ error }),
      )
      pending.add(settled)
    } catch (error) {
      failures.push({ error })
      throw error
    }
  }
  let result: Result
  try {
    result = await work(tell)
  } catch (error) {
    // Native code and loops pass on what a callback threw in clothes of their own.
    throw failures[0] ? failures[0].error : error
  }
  await Promise.all(pending)
  if (failures[0]) throw failures[0].error
  return result
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
