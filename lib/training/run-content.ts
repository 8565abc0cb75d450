/** All that a run is at a step, as its checkpoints hold it. */
import type { CheckpointContent } from '../checkpoints/checkpoint.js'
import type { JsonObject } from '../checkpoints/migrations.js'
import { learnedTensors } from '../generation/learned-tensors.js'
import type { OpenRun } from './open-run.js'

export function contentOf(run: OpenRun, step: number, seconds: number): CheckpointContent {
  const { dataSet, state, journal, process } = run
  const { channels, height, width, columns, classes, length } = dataSet
  const { averagesSince } = state
  // Where it was started is of this machine, and a checkpoint travels.
  const { startedIn: _, ...settings } = run.settings
  return {
    settings: settings as unknown as JsonObject,
    progress: {
      step,
      seconds,
      images: step * settings.training.batch,
      examples: length,
      ...(averagesSince && { averagesSince }),
      ...(journal?.state && { journal: journal.state as unknown as JsonObject }),
    },
    classes,
    image: { channels, height, width, ...(columns && { columns }) },
    tensors: [...state.tensors(), ...learnedTensors(process.learners)],
  }
}
