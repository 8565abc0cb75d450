/**
 * Ctrl-C, the SIGTERM of a scheduler, the SIGHUP of a terminal that is closed, and output that nobody can read any more: the first
 * asks the work to stop, which may then save what it has; a second signal ends the process at once.
 */

/** By convention the exit code is 128 + the signal's number. */
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const
type StopSignal = keyof typeof exitCodes
const stopSignals = Object.keys(exitCodes) as readonly StopSignal[]

/**
 * The same signal again so soon is the same event: a closing terminal tells its shell, which tells its jobs, and then the kernel
 * tells them; `timeout` tells the process and its group; npm passes on what the terminal has sent to all.
 */
const echoMilliseconds = 500

/**
 * By the system's error code what becomes of a process whose output is refused: whoever read a pipe has had enough, a terminal
 * is gone, as by SIGHUP.
 */
const outputExitCodes: Readonly<Record<string, number>> = { EPIPE: 0, EIO: exitCodes.SIGHUP }

/** Why work was cancelled: the reason of the AbortSignal, and so the cause of its DPM_ABORTED. */
export class Interruption extends Error {
  readonly exitCode: number

  /** @param by a signal, or what the system answers to output. */
  constructor(by: StopSignal | NodeJS.ErrnoException) {
    super(`interrupted by ${typeof by === 'string' ? by : by.message}`)
    this.exitCode = typeof by === 'string' ? exitCodes[by] : (outputExitCodes[by.code ?? ''] ?? 1)
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
  let first: { readonly name: StopSignal; readonly at: number } | undefined
  const stop = (name: StopSignal): void => {
    if (first && !(first.name === name && performance.now() - first.at < echoMilliseconds))
      process.exit(exitCodes[name])
    if (first) return
    first = { name, at: performance.now() }
    if (controller.signal.aborted) return
    onInterrupt?.()
    controller.abort(new Interruption(name))
  }
  // Of the outputs too: without a listener the process would end before anything is saved.
  const lose = (error: NodeJS.ErrnoException): void => controller.abort(new Interruption(error))
  const outputs = [process.stdout, process.stderr]
  for (const name of stopSignals) process.on(name, stop)
  for (const output of outputs) output.on('error', lose)
  try {
    return await work(controller.signal)
  } finally {
    for (const name of stopSignals) process.removeListener(name, stop)
    for (const output of outputs) output.removeListener('error', lose)
  }
}
