/** How a run ended that did not come to the end of its budget, and what gets it further. */
import { DpmError, type DpmErrorCode } from '../errors.js'
import type { RunSettings } from './run-options.js'

/** Options to lay over a run's settings when it goes on, by their dotted paths: `{ 'data.corrupt': 'skip' }`. */
export type Cure = Readonly<Record<string, string | number>>

export interface StoppedRun {
  /** Updates that were made. */
  readonly step: number
  /** The newest whole checkpoint: of that step, unless `failure` says why none of it could be written. Undefined without any. */
  readonly checkpoint: string | undefined
  /** Why the last updates are in no checkpoint. */
  readonly failure: unknown
  /** What gets past the error that stopped it; empty where nothing needs to change. */
  readonly cure: Cure
}

/** An error may name its own cure in `details.cure`; here is that of errors which know nothing of the run. */
const cures: Partial<Record<DpmErrorCode, (settings: RunSettings) => Cure>> = {
  DPM_NON_FINITE: ({ training }) => ({ 'training.learningRate.peak': training.learningRate.peak / 2 }),
  DPM_OUT_OF_MEMORY: ({ training: { batch, microBatch } }): Cure => {
    const smaller = Math.ceil(Math.min(microBatch ?? batch, batch) / 2)
    return smaller < batch ? { 'training.microBatch': smaller } : {}
  },
}

export function cureOf(error: unknown, settings: RunSettings): Cure {
  if (!(error instanceof DpmError)) return {}
  const own = error.details['cure']
  if (typeof own === 'object' && own !== null) return own as Cure
  return cures[error.code]?.(settings) ?? {}
}

/** The same error, which says where what was trained is and how to go on. Errors of a caller's own stay as they are. */
export function toldOf(error: unknown, stopped: StoppedRun): unknown {
  if (!(error instanceof DpmError)) return error
  const told = new DpmError(error.code, `${error.message} ${describeStopped(stopped, error)}`, {
    cause: error.cause,
    details: { ...error.details, stopped },
    nativeStack: error.nativeStack,
  })
  if (error.stack) told.stack = error.stack.replace(error.message, () => told.message)
  return told
}

/** Where what was trained is, why the last of it is lost if it is, and how to go on. */
export function describeStopped({ step, checkpoint, failure, cure }: StoppedRun, error?: unknown): string {
  const changes = Object.entries(cure).map(([path, value]) => `${path}=${value}`)
  if (step === 0) return `No update was made${changes.length > 0 ? `: begin again with ${changes.join(', ')}` : ''}.`
  const laid = changes.length > 0 ? ` and ${changes.join(', ')}` : ''
  // Where the error is itself of that checkpoint, its reason is said.
  const why = failure === undefined || messageOf(failure) === messageOf(error) ? '' : `: ${messageOf(failure)}`
  const lost = failure === undefined ? '' : `No checkpoint of step ${step} could be written${why.replace(/\.$/, '')}. `
  if (checkpoint === undefined) return `${lost}There is no checkpoint to go on from.`
  return `${lost}${failure === undefined ? `What was trained, ${step} step${step === 1 ? '' : 's'}, is in` : 'The last checkpoint is'} ${checkpoint}: go on with --resume (\`resume: true\`)${laid}.`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
