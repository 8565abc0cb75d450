/**
 * Averages stored along a run, so that others can be made of them afterwards: `snapshots/step-00010000.safetensors` is a
 * checkpoint with averaged copies alone.
 */
import { mkdir, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { type CheckpointContent, stepOfName, writeCheckpointFile } from '../checkpoints/checkpoint.js'
import { DpmError } from '../errors.js'
import { readFailure, systemCode, writeFailure } from '../files/file-failure.js'
import type { AveragingSettings } from './averaging.js'
import type { runFolders } from './run-places.js'

export const snapshotsSchema = z.strictObject({
  everySteps: z
    .int()
    .min(0)
    .default(0)
    .describe('steps between files with the averaged copies alone, for `dpm-torch average`; 0 writes none'),
})

export function snapshotFolder(run: string): string {
  return join(run, 'snapshots' satisfies keyof typeof runFolders)
}

/** @throws DpmError DPM_INVALID_OPTION when there would be nothing in them to make an average of. */
export function requirePowerAverages(averaging: readonly AveragingSettings[], everySteps: number): void {
  if (everySteps === 0 || averaging.some(({ kind }) => kind === 'power')) return
  throw new DpmError(
    'DPM_INVALID_OPTION',
    '`checkpoints.snapshots` stores power-function averages, but `training.averaging` has none. Add some, such as {"kind": "power", "deviation": 0.05} and {"kind": "power", "deviation": 0.1}.',
  )
}

/**
 * @param kept names of what the network keeps without learning it: an average has it as it is.
 * @returns the file's path. @throws DpmError DPM_WRITE_FAILED
 */
export async function writeSnapshot(run: string, content: CheckpointContent, kept: readonly string[]): Promise<string> {
  const folder = snapshotFolder(run)
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw writeFailure(folder, error)
  })
  const tensors = content.tensors.filter(({ name }) => name.startsWith('average.'))
  return writeCheckpointFile(folder, { ...content, progress: { ...content.progress, kept }, tensors })
}

/** Snapshot files of a folder by step, oldest first; none where there is no folder. */
export async function snapshotFiles(folder: string): Promise<ReadonlyMap<number, string>> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw readFailure(folder, error, 'folder')
  })
  const found = names.flatMap((name): [number, string][] => {
    const step = stepOfName(name)
    return step === undefined ? [] : [[step, join(folder, name)]]
  })
  return new Map(found.sort(([a], [b]) => a - b))
}

/** Removes those after a step: a run that goes on from there may go another way. */
export async function removeLaterSnapshots(run: string, step: number): Promise<void> {
  for (const [other, path] of await snapshotFiles(snapshotFolder(run))) {
    if (other <= step) continue
    await unlink(path).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw writeFailure(path, error)
    })
  }
}
