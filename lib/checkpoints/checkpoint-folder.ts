/**
 * The checkpoints of a run: one file per step, `latest.json` that points to the newest, and a policy that says which
 * older ones stay.
 */
import { readdir, rename, stat, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import { readFailure, systemCode, writeFailure } from '../files/file-failure.js'
import { parseJson } from '../files/parse-json.js'
import { readSmallFile } from '../files/regular-file.js'
import { showName } from '../show.js'
import { Checkpoint, type CheckpointContent, importCure, stepOfName, writeCheckpointFile } from './checkpoint.js'

/** Which checkpoints stay when a new one is written. */
export const retentionSchema = z.strictObject({
  last: z.int().min(1).default(2).describe('How many of the newest checkpoints stay'),
  everySteps: z.int().min(1).optional().describe('Checkpoints at multiples of this many steps stay for good'),
})
export type Retention = z.output<typeof retentionSchema>

/** Receives what was odd but could be mended. */
export type Warn = (message: string) => void

const latestName = 'latest.json'
const maximumPointerBytes = 10_000
const latestSchema = z.object({ file: z.string().refine((name) => stepOfName(name) !== undefined) })

/**
 * Writes a checkpoint, points `latest.json` to it and applies the retention policy. Every file is replaced whole; older
 * checkpoints go only after the new one has been opened and found complete.
 * @returns the checkpoint's path.
 * @throws DpmError DPM_WRITE_FAILED; all earlier checkpoints are then still there.
 */
export async function writeCheckpoint(
  folder: string,
  content: CheckpointContent,
  retention?: Retention,
): Promise<string> {
  const path = await writeCheckpointFile(folder, content)
  const checkpoint = await Checkpoint.open(path)
  await checkpoint.close()
  const { step } = content.progress
  await writeAtomically(join(folder, latestName), Buffer.from(`${JSON.stringify({ file: basename(path), step })}\n`))
  if (retention) await applyRetention(folder, step, retention)
  return path
}

/** Steps that go when `step` has just been written. Later ones are of a run that was wound back; they stay. */
export function expiredSteps(steps: readonly number[], step: number, retention: Retention): number[] {
  const newestFirst = steps.filter((other) => other <= step).sort((a, b) => b - a)
  return newestFirst
    .slice(retention.last)
    .filter((other) => retention.everySteps === undefined || other % retention.everySteps !== 0)
    .filter((other) => other !== step)
}

async function applyRetention(folder: string, step: number, retention: Retention): Promise<void> {
  const names = await checkpointNames(folder)
  const expired = new Set(expiredSteps([...names.keys()], step, retention))
  for (const [other, name] of names) {
    if (!expired.has(other)) continue
    await unlink(join(folder, name)).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw writeFailure(join(folder, name), error)
    })
  }
}

/** Checkpoint files of a folder by step, newest first. */
async function checkpointNames(folder: string): Promise<Map<number, string>> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw readFailure(folder, error, 'folder')
  })
  const found = names.flatMap((name): [number, string][] => {
    const step = stepOfName(name)
    return step === undefined ? [] : [[step, name]]
  })
  return new Map(found.sort(([a], [b]) => b - a))
}

/** A checkpoint that cannot be used, and why. */
export interface CheckpointFault {
  readonly path: string
  readonly fault: string
}

/** The newest whole checkpoint of a folder, and those that should have been it. */
export interface CheckpointSurvey {
  readonly path: string | undefined
  readonly faults: readonly CheckpointFault[]
}

/**
 * The newest checkpoint of a folder that is complete: the one `latest.json` names, or, when that is missing or bad, the
 * one with the highest step; `warn` hears what was passed over.
 * @returns its path, or undefined when there is none.
 */
export async function findLatest(folder: string, warn: Warn = emitWarning): Promise<string | undefined> {
  return (await surveyCheckpoints(folder, warn)).path
}

async function surveyCheckpoints(folder: string, warn: Warn): Promise<CheckpointSurvey> {
  const named = await namedLatest(folder, warn)
  if (typeof named === 'string') return { path: named, faults: [] }
  const faults: CheckpointFault[] = named ? [named] : []
  for (const name of (await checkpointNames(folder)).values()) {
    const path = join(folder, name)
    const fault = path === named?.path ? named.fault : await faultOf(path)
    if (fault === undefined) {
      warn(`Using ${JSON.stringify(path)}, the newest complete checkpoint in its folder.`)
      return { path, faults }
    }
    if (path !== named?.path) {
      warn(`Passed over ${JSON.stringify(path)}: ${fault}`)
      faults.push({ path, fault })
    }
  }
  return { path: undefined, faults }
}

/** Behind the name of a checkpoint that cannot be used: no later one takes its place. */
const brokenEnding = '.broken'

/**
 * The checkpoint that a run goes on from; undefined where none was ever written. Broken ones that the run would come to write
 * again are put aside as `step-….safetensors.broken`, and `warn` hears of it.
 * @throws DpmError DPM_FILE_INVALID where there are checkpoints and none is whole, naming each and what is wrong with it;
 *   DPM_WRITE_FAILED.
 */
export async function findResumable(folder: string, warn: Warn): Promise<string | undefined> {
  const warnings: string[] = []
  const { path, faults } = await surveyCheckpoints(folder, (message) => void warnings.push(message))
  if (path === undefined && faults.length > 0) {
    const list = faults.map(({ path: broken, fault }) => `${basename(broken)}: ${fault}`).join('\n')
    throw new DpmError(
      'DPM_FILE_INVALID',
      `None of the checkpoints in ${JSON.stringify(folder)} can be used, so the run cannot go on:\n${list}\nPut a whole copy of one in its place, or begin a new run in another folder; to begin this one anew, move what is in there elsewhere first.`,
      { details: { path: folder, faults } },
    )
  }
  for (const message of warnings) warn(message)
  const latest = path === undefined ? -1 : (stepOfName(basename(path)) ?? -1)
  for (const [step, name] of await checkpointNames(folder)) {
    const broken = join(folder, name)
    if (step <= latest || (await faultOf(broken)) === undefined) continue
    const aside = await freeName(`${broken}${brokenEnding}`)
    await rename(broken, aside).catch((error: unknown) => {
      throw writeFailure(aside, error)
    })
    warn(
      `The run goes on from step ${latest}: ${JSON.stringify(broken)} cannot be used and is kept as ${basename(aside)}.`,
    )
  }
  return path
}

async function freeName(path: string): Promise<string> {
  for (let number = 1; ; number++) {
    const name = number === 1 ? path : `${path}.${number}`
    const isFree = await stat(name).then(
      () => false,
      (error: unknown) => systemCode(error) === 'ENOENT',
    )
    if (isFree) return name
  }
}

/** What `latest.json` points to, or what is wrong with that; undefined where there is none that can be read. */
async function namedLatest(folder: string, warn: Warn): Promise<string | CheckpointFault | undefined> {
  const pointer = join(folder, latestName)
  let file: string
  try {
    file = latestSchema.parse(
      parseJson((await readSmallFile(pointer, maximumPointerBytes)).toString('utf8'), { name: pointer }),
    ).file
  } catch (error) {
    const missing = error instanceof DpmError && error.code === 'DPM_FILE_MISSING'
    if (!missing) warn(`${JSON.stringify(pointer)} cannot be read as a pointer to a checkpoint; looking at the files.`)
    return undefined
  }
  const path = join(folder, file)
  const fault = await faultOf(path)
  if (fault === undefined) return path
  warn(`${JSON.stringify(pointer)} points to ${file}, which cannot be used: ${fault}`)
  return { path, fault }
}

async function faultOf(path: string): Promise<string | undefined> {
  try {
    await (await Checkpoint.open(path)).close()
    return undefined
  } catch (error) {
    if (error instanceof DpmError) return error.message
    throw error
  }
}

/**
 * Opens a checkpoint file, or the latest checkpoint of a run folder or checkpoints folder.
 * @throws DpmError DPM_FILE_MISSING when there is none; DPM_FILE_INVALID when the file named is truncated or foreign.
 */
export async function readCheckpoint(pathOrFolder: string, warn: Warn = emitWarning): Promise<Checkpoint> {
  const found = await stat(pathOrFolder).catch((error: unknown) => {
    throw readFailure(pathOrFolder, error, 'checkpoint, run folder or checkpoints folder')
  })
  if (!found.isDirectory()) return Checkpoint.open(pathOrFolder)
  const inside = join(pathOrFolder, 'checkpoints')
  const isRun = await stat(inside).then(
    (entry) => entry.isDirectory(),
    () => false,
  )
  const folder = isRun ? inside : pathOrFolder
  const latest = await findLatest(folder, warn)
  if (latest !== undefined) return Checkpoint.open(latest)
  const weights = isRun ? undefined : await weightsIn(folder)
  if (weights !== undefined) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      `There is no checkpoint of a run in ${JSON.stringify(folder)}, but ${showName(weights)}. Name the file itself where it is a checkpoint of ` +
        `dpm-torch. Is it of another program? ${importCure(folder)}`,
      { details: { path: folder } },
    )
  }
  throw new DpmError(
    'DPM_FILE_MISSING',
    `There is no complete checkpoint in ${JSON.stringify(folder)}. Train until the first one is written, or name another ` +
      'folder.',
    { details: { path: folder } },
  )
}

function emitWarning(message: string): void {
  process.emitWarning(message, 'DpmWarning')
}

/** What shows that a folder holds a model, or weights, and no run; undefined where nothing does. */
async function weightsIn(folder: string): Promise<string | undefined> {
  const names = await readdir(folder).catch((): string[] => [])
  const isWeights = (name: string): boolean =>
    /\.(?:safetensors|pt|pth|bin|ckpt)$/.test(name) && stepOfName(name) === undefined
  return names.find((name) => name === 'model_index.json' || name === 'unet') ?? names.find(isWeights)
}
