/** After which updates a run in a folder writes what. */
import { drawsPreviews } from './previews.js'
import type { RunSettings } from './run-options.js'

export interface DueFiles {
  readonly checkpoint: boolean
  readonly snapshot: boolean
  readonly preview: boolean
}

/** What is due after `step` updates; `seconds` since the last checkpoint, `done` when the budget is used up. */
export function dueAfter(
  { checkpoints, previews, ...settings }: RunSettings,
  { step, seconds, done }: { readonly step: number; readonly seconds: number; readonly done: boolean },
): DueFiles {
  const { everySteps } = checkpoints.snapshots
  return {
    checkpoint: step % checkpoints.everySteps === 0 || seconds >= checkpoints.everyMinutes * 60,
    snapshot: everySteps > 0 && step % everySteps === 0,
    preview: drawsPreviews({ previews, ...settings }) && step % previews.everySteps === 0 && !done,
  }
}
