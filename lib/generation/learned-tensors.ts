/** What a process learned, on its way into and out of checkpoints: `learned.<learner>.<number>`, float64. */
import type { Checkpoint, CheckpointTensor } from '../checkpoints/checkpoint.js'
import type { Learner } from '../diffusion/learned/learner.js'
import { DpmError } from '../errors.js'

export function learnedTensors(learners: readonly Learner[]): CheckpointTensor[] {
  return learners.flatMap((learner) =>
    Object.entries(learner.state).map(([number, values]) => ({
      name: nameOf(learner, number),
      shape: [values.length],
      dtype: 'float64' as const,
      read: async () => new Uint8Array(values.slice().buffer),
    })),
  )
}

/** Writes what a checkpoint has into the learners. @throws DpmError DPM_FILE_INVALID naming what is missing or misshapen. */
export async function restoreLearned(checkpoint: Checkpoint, learners: readonly Learner[]): Promise<void> {
  for (const learner of learners) {
    for (const [number, values] of Object.entries(learner.state)) {
      const name = nameOf(learner, number)
      const info = checkpoint.info(name)
      if (info?.dtype !== 'float64' || info.shape.join() !== String(values.length)) {
        const found = info ? `${info.dtype} of shape ${info.shape.join('×')}` : 'nothing'
        throw new DpmError(
          'DPM_FILE_INVALID',
          `Expected float64 of shape ${values.length} for the tensor "${name}" in ${checkpoint.path} but found ${found}: what the run learned beside its network is not there. Use another checkpoint.`,
        )
      }
      const bytes = await checkpoint.read(name)
      values.set(new Float64Array(bytes.buffer, bytes.byteOffset, values.length))
    }
    learner.restored()
  }
}

function nameOf(learner: Learner, number: string): string {
  return `learned.${learner.name}.${number}`
}
