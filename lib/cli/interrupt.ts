/**
 * Ctrl-C, the SIGTERM of a scheduler, and the SIGHUP of a terminal that is closed: the first one asks the work to stop, which
 * may then save what it has; the second ends the process at once.
 */

/** By convention the exit code is 128 + the signal's number. */
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const
type StopSignal = keyof typeof exitCodes
const stopSignals = Object.keys(exitCodes) as readonly StopSignal[]

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
  for (const name of stopSignals) process.on(name, stop)
  try {
    return await work(controller.signal)
  } finally {
    for (const name of stopSignals) process.removeListener(name, stop)
  }
}
