/** What a run on vectors must leave out: all that knows of 8-bit pictures. */
import type { DataSet } from '../datasets/data-set.js'
import { DpmError } from '../errors.js'
import type { RunSettings } from './run-options.js'

/** @throws DpmError DPM_INVALID_OPTION naming every option that means nothing, or something else, where data is vectors. */
export function requireVectors({ diffusion, training, condition }: RunSettings, dataSet: DataSet): void {
  if (!dataSet.columns) return
  const { clip, bound, schedule } = diffusion
  const cures = [
    clip.kind !== 'none' &&
      '`diffusion.clip` keeps values in the range of pictures, and columns reach beyond it: set it to "none"',
    bound.kind !== 'none' && '`diffusion.bound` has a decoder of 8-bit values: set it to "none"',
    schedule.kind === 'learned' &&
      '`diffusion.schedule` "learned" learns its ends from 8-bit values: take another, such as "cosine"',
    training.flip && '`training.flip` mirrors pictures: set it to false',
    condition.kind !== 'none' && '`condition` is made of pictures: set it to "none"',
  ].filter((cure) => cure !== false)
  if (cures.length === 0) return
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `The data set ${dataSet.name} has vectors, not pictures. ${cures.join('; ')}.`,
  )
}
