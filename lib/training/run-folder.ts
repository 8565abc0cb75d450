/**
 * The folder of one training run:
 *
 *   config.json     the complete settings
 *   metrics.jsonl   one line per report
 *   skipped.jsonl   examples that could not be decoded, where these are skipped
 *   tensorboard/    the same curves and the sample images, for TensorBoard
 *   samples/        images drawn while training
 *   checkpoints/    step-00010000.safetensors …, latest.json
 *   snapshots/      averaged copies alone, where they are asked for
 *   evaluation/     what `dpm-torch likelihood` found
 *   run.lock        who is training, while someone is
 */
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { JsonObject } from '../checkpoints/migrations.js'
import { DpmError } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import { makeFolder, removeEmpty } from '../files/make-folder.js'
import { readJson } from '../files/read-json.js'
import { RunLock } from './run-lock.js'
import { clearBlankRun, contentsOf, runFiles, runFolders, sweepRun } from './run-places.js'

export class RunFolder {
  /** Absolute. */
  readonly path: string
  #config: JsonObject
  readonly #lock: RunLock | undefined
  /** Folders that were made for a new run, the outermost first; undefined of a run that was there. */
  readonly #made: readonly string[] | undefined

  private constructor(path: string, config: JsonObject, lock?: RunLock, made?: readonly string[]) {
    this.path = path
    this.#config = config
    this.#lock = lock
    this.#made = made
  }

  /**
   * Makes and locks the folder of a new run. The folder may exist if it is empty, or holds a run that has made no update.
   * @throws DpmError DPM_INVALID_ARGUMENT when the folder holds a run or other files; DPM_RUN_LOCKED; DPM_WRITE_FAILED.
   */
  static async create(path: string, config: JsonObject): Promise<RunFolder> {
    const folder = resolve(path)
    const made = [...(await makeFolder(folder))]
    try {
      await refuseUsed(folder)
      return await whileLocked(folder, async (lock) => {
        // Once more: another process may have begun and ended a run before the lock was ours.
        await refuseUsed(folder)
        await sweepRun(folder)
        await clearBlankRun(folder)
        const run = new RunFolder(folder, config, lock, made)
        try {
          made.push(...(await makeInside(folder)))
          await run.writeConfig(config)
          return run
        } catch (error) {
          await run.#clear()
          throw error
        }
      })
    } catch (error) {
      await removeEmpty(made)
      throw error
    }
  }

  /**
   * Says early what `create` would say of a folder in use; writes nothing.
   * @throws DpmError DPM_INVALID_ARGUMENT when the folder holds a run or other files; DPM_RUN_LOCKED.
   */
  static async refuseUsed(path: string): Promise<void> {
    const folder = resolve(path)
    const found = await stat(folder).catch(() => undefined)
    if (!found?.isDirectory()) return
    await refuseUsed(folder)
    await RunLock.refuseHeld(folder)
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
      await sweepRun(folder)
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
    return join(this.path, runFiles.metrics)
  }

  get skipped(): string {
    return join(this.path, runFiles.skipped)
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
    await writeAtomically(join(this.path, runFiles.config), Buffer.from(`${JSON.stringify(config, null, 2)}\n`))
    this.#config = config
  }

  /**
   * Gives the folder up where the run has made no update: exactly what was made for it goes, unless there is anything else.
   * @returns whether nothing is left of it.
   */
  async discard(): Promise<boolean> {
    if (!this.#made || !(await this.#clear())) return false
    this.close()
    await removeEmpty(this.#made)
    return true
  }

  async #clear(): Promise<boolean> {
    const cleared = await clearBlankRun(this.path).catch(() => false)
    if (cleared) await removeEmpty((this.#made ?? []).filter((folder) => folder.startsWith(join(this.path, '/'))))
    return cleared
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
  return stat(join(path, runFiles.config)).then(
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

async function refuseUsed(folder: string): Promise<void> {
  const { isRun, kept } = await contentsOf(folder)
  if (kept.length === 0) return
  const some = kept.slice(0, 3).join(', ')
  throw new DpmError(
    'DPM_INVALID_ARGUMENT',
    isRun
      ? `${JSON.stringify(folder)} already holds a run. Continue it with --resume (\`resume: true\`), or choose ` +
          'another folder with --out (`out`).'
      : `${JSON.stringify(folder)} is not empty and holds no run (${some}${kept.length > 3 ? ' …' : ''}). ` +
          'Choose a new or empty folder with --out (`out`).',
    { details: { path: folder, isRun } },
  )
}

/** @returns the folders that were not there. */
async function makeInside(folder: string): Promise<string[]> {
  const made: string[] = []
  for (const [name, place] of Object.entries(runFolders)) {
    if (place.made) made.push(...(await makeFolder(join(folder, name))))
  }
  return made
}

async function readConfig(folder: string, cure: string): Promise<JsonObject> {
  const path = join(folder, runFiles.config)
  const elsewhere = 'The settings also lie in each checkpoint: `dpm-torch inspect` shows them.'
  const config = await readJson(path, { what: 'run configuration', cure: elsewhere }).catch((error: unknown) => {
    if (!(error instanceof DpmError) || error.code !== 'DPM_FILE_MISSING') throw error
    const message = `There is no run in ${JSON.stringify(folder)}: it has no ${runFiles.config}. ${cure}`.trim()
    throw new DpmError('DPM_FILE_MISSING', message, { cause: error.cause, details: { path: folder } })
  })
  if (typeof config === 'object' && config !== null && !Array.isArray(config)) return config as JsonObject
  throw new DpmError('DPM_FILE_INVALID', `${JSON.stringify(path)} is not a JSON object. ${elsewhere}`, {
    details: { path },
  })
}
