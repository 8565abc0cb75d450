/**
 * Ctrl-C, and the SIGTERM of a scheduler: the first one asks the work to stop, which may then save what it has; the
 * second ends the process at once.
 */

type StopSignal = 'SIGINT' | 'SIGTERM'

/** By convention 128 + the signal's number. */
const exitCodes: Readonly<Record<StopSignal, number>> = { SIGINT: 130, SIGTERM: 143 }

/** Why work was cancelled: the reason of the AbortSignal, and so the cause of its DPM_ABORTED. */
export class Interruption extends Error {
  readonly exitCode: number

  constructor(name: StopSignal) {
    super(`interrupted by ${name}`)
    this.exitCode = exitCodes[name]
  }
}

/**
 * Runs work that can be interrupted.
 * @param onInterrupt told of the first signal, to say what happens now.
 */
export async function interruptible<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  onInterrupt?: () => void,
): Promise<Result> {
  const controller = new AbortController()
  const stop = (name: StopSignal): void => {
    if (controller.signal.aborted) process.exit(exitCodes[name])
    onInterrupt?.()
    controller.abort(new Interruption(name))
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  try {
    return await work(controller.signal)
  } finally {
    process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop)
  }
}
