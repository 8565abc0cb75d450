/**
 * Every place in a run folder, in one list: what is made at the start, what a kill may leave half-written there, and what tells
 * that updates were made.
 */
import { readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { sweepTemporaries, targetOfTemporary } from '../files/atomic-write.js'
import { readFailure, systemCode, writeFailure } from '../files/file-failure.js'
import { isProgramCopy } from '../networks/program-file.js'
import { isLeftover, lockName, removeLeftover } from './run-lock.js'

interface Place {
  /** Whether it is there from the start. */
  readonly made: boolean
  /** Whether other commands write there too, while someone trains. */
  readonly shared: boolean
  /** Whether a file may lie there before the first update; of a run that has made none, it goes when another begins. */
  isOfStart(name: string): boolean
}

const never = (): boolean => false
const isEventFile = (name: string): boolean => name.startsWith('events.out.tfevents.')

/** Folders in a run folder. */
export const runFolders = {
  tensorboard: { made: true, shared: false, isOfStart: isEventFile },
  samples: { made: true, shared: true, isOfStart: never },
  checkpoints: { made: true, shared: false, isOfStart: never },
  snapshots: { made: false, shared: false, isOfStart: never },
  evaluation: { made: false, shared: true, isOfStart: never },
} as const satisfies Readonly<Record<string, Place>>

/** Files in a run folder. */
export const runFiles = { config: 'config.json', metrics: 'metrics.jsonl', skipped: 'skipped.jsonl' } as const

/** The batch of an update that was not finite: it stays, whatever becomes of the run. */
export function nonFiniteName(step: number): string {
  return `non-finite-step-${String(step).padStart(8, '0')}.safetensors`
}

const isNonFiniteBatch = (name: string): boolean => /^non-finite-step-[0-9]+\.safetensors$/.test(name)
/** What a write leaves that was cut short; hidden files of other programs are not ours. */
const isTemporary = (name: string): boolean => name.startsWith('.') && name.endsWith('.part')

const folderEntries = Object.entries(runFolders) as readonly (readonly [keyof typeof runFolders, Place])[]

/**
 * Removes what killed processes left in a run folder. Only for whoever holds its lock.
 * @throws DpmError DPM_WRITE_FAILED
 */
export async function sweepRun(folder: string): Promise<void> {
  // Other commands may be writing files of theirs into the folder itself; its own files are the holder's.
  await sweepTemporaries(folder, true)
  for (const name of await namesIn(folder)) {
    const target = targetOfTemporary(name)
    if (target !== undefined && Object.values<string>(runFiles).includes(target)) await remove(join(folder, name))
  }
  for (const [name, { shared }] of folderEntries) await sweepTemporaries(join(folder, name), shared)
  for (const name of await namesIn(folder)) {
    if (name !== lockName && name.startsWith(lockName) && (await isLeftover(join(folder, name))))
      await removeLeftover(join(folder, name))
  }
}

/** What a folder holds, as far as beginning a run in it is concerned. */
export interface RunContents {
  /** Whether it has the settings of a run. */
  readonly isRun: boolean
  /** Names that no run is begun over: files of others, and all that updates left. */
  readonly kept: readonly string[]
}

/** @throws DpmError DPM_FILE_INVALID where the folder cannot be read. */
export async function contentsOf(folder: string): Promise<RunContents> {
  const names = await namesIn(folder)
  const kept: string[] = []
  for (const name of names) if (!(await isOfStart(folder, names, name))) kept.push(name)
  return { isRun: names.includes(runFiles.config), kept }
}

/**
 * Removes all that a run of no update has in its folder but the lock: exactly these files, and nothing where there is more.
 * @returns whether the folder has nothing but the lock now.
 */
export async function clearBlankRun(folder: string): Promise<boolean> {
  const { kept } = await contentsOf(folder)
  if (kept.length > 0) return false
  for (const [name] of folderEntries) {
    for (const inside of await namesIn(join(folder, name))) await remove(join(folder, name, inside))
  }
  const copies = (await namesIn(folder)).filter(isProgramCopy)
  for (const name of [...Object.values(runFiles), ...copies]) await remove(join(folder, name))
  return true
}

/** Whether a name in the folder is one that a run has before its first update. */
async function isOfStart(folder: string, names: readonly string[], name: string): Promise<boolean> {
  if (name.startsWith(lockName) || isTemporary(name) || isNonFiniteBatch(name)) return true
  if (isProgramCopy(name)) return true
  // Our settings are written when the folders are there: a file of that name alone is someone else's.
  if (name === runFiles.config) return folderEntries.every(([known, { made }]) => !made || names.includes(known))
  const path = join(folder, name)
  const found = await stat(path).catch(() => undefined)
  if (Object.values<string>(runFiles).includes(name)) return found?.isFile() === true && found.size === 0
  const place = folderEntries.find(([known]) => known === name)?.[1]
  if (!place || !found?.isDirectory()) return false
  return (await namesIn(path)).every((inside) => isTemporary(inside) || place.isOfStart(inside))
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw readFailure(folder, error, 'folder')
  })
}

async function remove(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw writeFailure(path, error)
  })
}
