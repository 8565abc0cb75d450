/** When a loss or gradient is no longer a number: the batch that did it is kept, so that it can be looked at. */
import { join } from 'node:path'
import { writeSafetensors } from '../checkpoints/safetensors.js'
import type { Batch } from '../datasets/batches.js'
import type { ImageShape } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { DpmError } from '../errors.js'
import type { RunFolder } from './run-folder.js'
import { nonFiniteName } from './run-places.js'

export interface NonFiniteCase {
  readonly folder: RunFolder | undefined
  readonly step: number
  readonly batch: Batch
  /** Loss of each example. */
  readonly losses: readonly number[]
  readonly process: DiffusionProcess
  readonly seed: number
  readonly image: ImageShape
}

/** Writes `non-finite-step-00001234.safetensors` (images, indices, epochs, times, losses). @returns the error to throw. */
export async function writeNonFiniteBatch({
  folder,
  step,
  batch,
  losses,
  process,
  seed,
  image,
}: NonFiniteCase): Promise<DpmError> {
  const slots = batch.indices.length
  const times = Array.from(batch.indices, (example, slot) =>
    process.objective.timeOf({ seed, epoch: batch.epochs[slot] ?? 0, example, step: batch.step, slot, slots }),
  )
  const bad = losses.flatMap((loss, i) => (Number.isFinite(loss) ? [] : [i]))
  const path = folder && join(folder.path, nonFiniteName(step))
  const vector = (name: string, values: ArrayLike<number>) => ({
    name,
    dtype: 'F64' as const,
    shape: [values.length],
    read: async () => new Uint8Array(Float64Array.from(values).buffer),
  })
  let unwritten = ''
  if (path) {
    const written = writeSafetensors(
      path,
      [
        {
          name: 'images',
          dtype: image.columns ? 'F32' : 'U8',
          shape: [slots, image.channels, image.height, image.width],
          read: async () => new Uint8Array(batch.images.buffer, batch.images.byteOffset, batch.images.byteLength),
        },
        vector('indices', batch.indices),
        vector('epochs', batch.epochs),
        vector('times', times),
        vector('losses', losses),
      ],
      { format: 'dpm-torch non-finite batch', step: String(step) },
    )
    // What went wrong first is what is told.
    await written.catch((error: unknown) => {
      unwritten = ` Its batch is not kept: ${error instanceof Error ? error.message : String(error)}`
    })
  }
  const culprits =
    bad.length > 0
      ? ` Examples ${bad
          .slice(0, 8)
          .map((i) => batch.indices[i])
          .join(', ')} at times ${bad
          .slice(0, 8)
          .map((i) => times[i])
          .join(', ')} did it.`
      : ''
  return new DpmError(
    'DPM_NON_FINITE',
    `The ${bad.length > 0 ? 'loss' : 'gradient'} of step ${step} is not finite; the weights are those of step ${step - 1}.${culprits}` +
      `${unwritten || (path ? ` The batch is in ${path}.` : '')} Lower the learning rate, use precision bfloat16 or float32, or clip the gradient.`,
    { details: { step, path, examples: bad.map((i) => batch.indices[i]), times: bad.map((i) => times[i]) } },
  )
}
