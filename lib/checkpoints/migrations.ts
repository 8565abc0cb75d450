/**
 * How checkpoints of earlier versions become checkpoints of this one. A change to what a checkpoint holds is a new
 * entry at the end of {@link migrations}; an old entry is never edited, because files of that version are out there.
 */
import { DpmError } from '../errors.js'

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export type JsonObject = { readonly [name: string]: Json }

/** All of a checkpoint but its tensors' bytes. */
export interface CheckpointFields {
  readonly settings: JsonObject
  readonly progress: JsonObject
  readonly classes: Json
  readonly image: Json
  /** Today's name of each tensor → its name in the file. */
  readonly tensorNames: ReadonlyMap<string, string>
}

/** One step from a version to the next. */
export interface Migration {
  /** What changed, for people. */
  readonly change: string
  migrate(fields: CheckpointFields): CheckpointFields
}

/** Entry i takes version i + 1 to version i + 2. */
export const migrations: readonly Migration[] = []

/** The version that this dpm-torch writes. */
export const checkpointVersion = migrations.length + 1

/**
 * Brings a checkpoint's fields up to today's version.
 * @throws DpmError DPM_FILE_INVALID when the file's version is no version, or newer than this dpm-torch.
 */
export function migrate(
  fields: CheckpointFields,
  version: string,
  path: string,
  steps: readonly Migration[] = migrations,
): CheckpointFields {
  const newest = steps.length + 1
  const number = /^[1-9][0-9]{0,8}$/.test(version) ? Number(version) : Number.NaN
  if (Number.isNaN(number)) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `Expected a whole number from 1 to ${newest} for the checkpoint version of ${JSON.stringify(path)} but received ` +
        `${JSON.stringify(version.slice(0, 40))}. The file is corrupt; use another checkpoint.`,
      { details: { path } },
    )
  }
  if (number > newest) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(path)} is a checkpoint of version ${number}, and this dpm-torch reads versions up to ${newest}. ` +
        'Update dpm-torch.',
      { details: { path, version: number, newest } },
    )
  }
  return steps.slice(number - 1).reduce((result, step) => step.migrate(result), fields)
}
