/**
 * The folder of one training run:
 *
 *   config.json     the complete settings
 *   metrics.jsonl   one line per report
 *   tensorboard/    the same curves and the sample images, for TensorBoard
 *   samples/        images drawn while training
 *   checkpoints/    step-00010000.safetensors …, latest.json
 *   run.lock        who is training, while someone is
 */
import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { JsonObject } from '../checkpoints/migrations.js'
import { DpmError } from '../errors.js'
import { sweepTemporaries, writeAtomically } from '../files/atomic-write.js'
import { readFailure } from '../files/file-failure.js'
import { makeFolder } from '../files/make-folder.js'
import { readJson } from '../files/read-json.js'
import { lockName, RunLock } from './run-lock.js'

const configName = 'config.json'
const folderNames = ['tensorboard', 'samples', 'checkpoints'] as const

export class RunFolder {
  /** Absolute. */
  readonly path: string
  #config: JsonObject
  readonly #lock: RunLock | undefined

  private constructor(path: string, config: JsonObject, lock?: RunLock) {
    this.path = path
    this.#config = config
    this.#lock = lock
  }

  /**
   * Makes and locks the folder of a new run. The folder may exist if it is empty.
   * @throws DpmError DPM_INVALID_ARGUMENT when the folder holds a run or other files; DPM_RUN_LOCKED; DPM_WRITE_FAILED.
   */
  static async create(path: string, config: JsonObject): Promise<RunFolder> {
    const folder = resolve(path)
    await makeFolder(folder)
    await refuseForeign(folder)
    return whileLocked(folder, async (lock) => {
      // Once more: another process may have begun and ended a run before the lock was ours.
      await refuseForeign(folder)
      await makeInside(folder)
      const run = new RunFolder(folder, config, lock)
      await run.writeConfig(config)
      return run
    })
  }

  /**
   * Says early what `create` would say of a folder in use; writes nothing.
   * @throws DpmError DPM_INVALID_ARGUMENT when the folder holds a run or other files.
   */
  static async refuseUsed(path: string): Promise<void> {
    const folder = resolve(path)
    const found = await stat(folder).catch(() => undefined)
    if (found?.isDirectory()) await refuseForeign(folder)
  }

  /**
   * Locks the folder of a run that exists, to train on. What a crash left half-written is removed.
   * @throws DpmError DPM_FILE_MISSING when there is no run; DPM_FILE_INVALID; DPM_RUN_LOCKED; DPM_WRITE_FAILED.
   */
  static async resume(path: string): Promise<RunFolder> {
    const folder = resolve(path)
    await readConfig(folder, 'To begin one, leave out --resume.')
    return whileLocked(folder, async (lock) => {
      await makeInside(folder)
      for (const inside of ['', ...folderNames]) await sweepTemporaries(join(folder, inside))
      return new RunFolder(folder, await readConfig(folder, ''), lock)
    })
  }

  /**
   * Opens a run to look at; nothing is locked or written, and the folder may be read-only.
   * @throws DpmError DPM_FILE_MISSING when there is no run; DPM_FILE_INVALID.
   */
  static async open(path: string): Promise<RunFolder> {
    const folder = resolve(path)
    return new RunFolder(folder, await readConfig(folder, 'Name a folder that `dpm-torch train` has written.'))
  }

  /** The run's complete settings. */
  get config(): JsonObject {
    return this.#config
  }

  get metrics(): string {
    return join(this.path, 'metrics.jsonl')
  }

  get tensorboard(): string {
    return join(this.path, 'tensorboard')
  }

  get samples(): string {
    return join(this.path, 'samples')
  }

  get checkpoints(): string {
    return join(this.path, 'checkpoints')
  }

  /** Replaces the settings, as when a run goes on with a larger budget. */
  async writeConfig(config: JsonObject): Promise<void> {
    await writeAtomically(join(this.path, configName), Buffer.from(`${JSON.stringify(config, null, 2)}\n`))
    this.#config = config
  }

  /** Gives the folder free for another process. Doing it twice is harmless. */
  close(): void {
    this.#lock?.release()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** Whether a folder holds a run. */
export async function isRunFolder(path: string): Promise<boolean> {
  return stat(join(path, configName)).then(
    (found) => found.isFile(),
    () => false,
  )
}

async function whileLocked(folder: string, prepare: (lock: RunLock) => Promise<RunFolder>): Promise<RunFolder> {
  const lock = await RunLock.acquire(folder)
  try {
    return await prepare(lock)
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Our own marks of a run that was killed before its first line do not count as files. */
async function refuseForeign(folder: string): Promise<void> {
  const foreign: string[] = []
  for (const name of await namesIn(folder)) {
    const isMark = name.startsWith(lockName) || name.endsWith('.part')
    const isOurs = folderNames.some((inside) => inside === name) && (await namesIn(join(folder, name))).length === 0
    if (!isMark && !isOurs) foreign.push(name)
  }
  if (foreign.length === 0) return
  const isRun = foreign.includes(configName)
  const some = foreign.slice(0, 3).join(', ')
  throw new DpmError(
    'DPM_INVALID_ARGUMENT',
    isRun
      ? `${JSON.stringify(folder)} already holds a run. Continue it with --resume (\`resume: true\`), or choose ` +
          'another folder with --out (`out`).'
      : `${JSON.stringify(folder)} is not empty and holds no run (${some}${foreign.length > 3 ? ' …' : ''}). ` +
          'Choose a new or empty folder with --out (`out`).',
    { details: { path: folder, isRun } },
  )
}

async function makeInside(folder: string): Promise<void> {
  for (const name of folderNames) await makeFolder(join(folder, name))
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    throw readFailure(folder, error, 'folder')
  })
}

async function readConfig(folder: string, cure: string): Promise<JsonObject> {
  const path = join(folder, configName)
  const elsewhere = 'The settings also lie in each checkpoint: `dpm-torch inspect` shows them.'
  const config = await readJson(path, { what: 'run configuration', cure: elsewhere }).catch((error: unknown) => {
    if (!(error instanceof DpmError) || error.code !== 'DPM_FILE_MISSING') throw error
    const message = `There is no run in ${JSON.stringify(folder)}: it has no ${configName}. ${cure}`.trim()
    throw new DpmError('DPM_FILE_MISSING', message, { cause: error.cause, details: { path: folder } })
  })
  if (typeof config === 'object' && config !== null && !Array.isArray(config)) return config as JsonObject
  throw new DpmError('DPM_FILE_INVALID', `${JSON.stringify(path)} is not a JSON object. ${elsewhere}`, {
    details: { path },
  })
}
