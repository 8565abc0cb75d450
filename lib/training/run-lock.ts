/**
 * One run folder, one training process. The lock is `run.lock`, which says who holds it; the lock of a process that has died,
 * however it died, is taken over.
 *
 * It is put in place whole and in one step: a file by a hard link, or where the file system has none a folder with that file
 * in it by a rename, which a folder that is not empty refuses.
 *
 * Whoever takes over first claims the right to remove that very lock: `run.lock.over.<token>` is the claim to the lock of that
 * token, placed in the same way, and the claim of a process that has died is itself taken over like a lock. So no two processes
 * ever remove the same lock, and a slow one cannot remove the lock that another has put in place meanwhile.
 */
import { readFileSync, renameSync, rmSync, unlinkSync } from 'node:fs'
import { link, mkdir, open, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { systemCode, writeFailure } from '../files/file-failure.js'
import { parseJson } from '../files/parse-json.js'
import { isDead, isElsewhere, thisProcess } from '../files/process-identity.js'
import { randomName } from '../files/random-name.js'

export const lockName = 'run.lock'
/** In a lock that is a folder. */
const holderName = 'holder.json'
/** An unreadable lock is held for so long: whoever writes it (0.1.0 did in two steps) may not be done. */
const settlingMilliseconds = 1000
const pollMilliseconds = 50
/** What `link` answers where a file system has no hard links. */
const linkless = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES', 'EXDEV', 'EINVAL']
/** What a rename of a folder answers where the name is taken. */
const taken = ['EEXIST', 'ENOTEMPTY', 'ENOTDIR', 'EISDIR']

const holderSchema = z.object({
  pid: z.int().min(1),
  host: z.string(),
  /** When the lock was taken, ISO 8601. */
  since: z.string(),
  processStart: z.string().nullable(),
  bootId: z.string().nullable(),
  pidNamespace: z.string().nullable(),
  /** Tells this lock from every other. */
  token: z.string().regex(/^[\w-]{1,64}$/),
})

/** Who holds a lock. */
export type LockHolder = z.output<typeof holderSchema>

/** A held lock. It is released by `release`, or when the process exits. */
export class RunLock {
  readonly path: string
  readonly holder: LockHolder
  readonly #releaseOnExit = (): void => this.release()
  #held = true

  private constructor(path: string, holder: LockHolder) {
    this.path = path
    this.holder = holder
    process.once('exit', this.#releaseOnExit)
  }

  /**
   * Locks a folder.
   * @throws DpmError DPM_RUN_LOCKED naming the process, the machine and the time; DPM_WRITE_FAILED.
   */
  static async acquire(folder: string): Promise<RunLock> {
    const path = join(folder, lockName)
    const mine = { ...thisProcess(), since: new Date().toISOString(), token: randomName() }
    try {
      // Each round either takes the lock, meets a live holder, or waits for one who is taking over a dead holder's.
      for (let round = 0; round < 200; round++) {
        if (await place(path, mine)) return new RunLock(path, mine)
        const text = await readHolder(path)
        if (text === undefined) continue
        const holder = parseHolder(text)
        if (holder && !isDead(holder)) throw locked(folder, holder)
        if (!(holder || (await isTorn(path, text)))) continue
        await removeStale(path, holder?.token ?? 'torn', mine)
        await setTimeout(round === 0 ? 0 : pollMilliseconds)
      }
    } catch (error) {
      throw error instanceof DpmError ? error : writeFailure(path, error)
    }
    throw new DpmError(
      'DPM_RUN_LOCKED',
      `The run folder ${JSON.stringify(folder)} is being opened by several processes at once. Start only one of them.`,
    )
  }

  /** Says early what `acquire` would say of a folder in use. @throws DpmError DPM_RUN_LOCKED */
  static async refuseHeld(folder: string): Promise<void> {
    const text = await readHolder(join(folder, lockName)).catch(() => undefined)
    const holder = text === undefined ? undefined : parseHolder(text)
    if (holder && !isDead(holder)) throw locked(folder, holder)
  }

  /** Gives the folder free, unless another process has taken the lock over. Doing it twice is harmless. */
  release(): void {
    if (!this.#held) return
    this.#held = false
    process.removeListener('exit', this.#releaseOnExit)
    try {
      removeOwn(this.path, this.holder.token)
    } catch {
      // The folder is gone or has become read-only; the lock is void as soon as this process ends.
    }
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

/** Whether a draft or claim beside a lock is of a process that runs no more. */
export async function isLeftover(path: string): Promise<boolean> {
  const text = await readHolder(path).catch(() => undefined)
  const holder = text === undefined ? undefined : parseHolder(text)
  if (holder) return isDead(holder)
  const found = await stat(path).catch(() => undefined)
  return found !== undefined && Date.now() - found.mtimeMs > 60 * settlingMilliseconds
}

/** Removes such a thing, be it a file or a folder. */
export async function removeLeftover(path: string): Promise<void> {
  await removeWhole(path).catch((error: unknown) => {
    throw writeFailure(path, error)
  })
}

/** In one step, or an empty folder would be there for a moment, whose name another process can take. */
async function removeWhole(path: string): Promise<void> {
  const aside = `${path}.${randomName()}`
  try {
    await rename(path, aside)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw error
  }
  await rm(aside, { recursive: true, force: true })
}

/** Puts a lock or a claim in place whole. False when there is one already. */
async function place(path: string, holder: LockHolder): Promise<boolean> {
  const text = `${JSON.stringify(holder, null, 2)}\n`
  const draft = `${path}.${randomName()}`
  try {
    await writeNew(draft, text)
    try {
      await link(draft, path)
      return true
    } catch (error) {
      if (systemCode(error) === 'EEXIST') return false
      if (!linkless.includes(systemCode(error))) throw error
    }
    return await placeFolder(path, text)
  } finally {
    await unlink(draft).catch(() => undefined)
  }
}

async function placeFolder(path: string, text: string): Promise<boolean> {
  const draft = `${path}.${randomName()}`
  await mkdir(draft)
  try {
    await writeNew(join(draft, holderName), text)
    await rename(draft, path)
    return true
  } catch (error) {
    if (taken.includes(systemCode(error))) return false
    throw error
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx')
  await file.writeFile(text).finally(() => file.close())
}

/** What a lock or a claim says; undefined where there is none. */
async function readHolder(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    if (systemCode(error) !== 'EISDIR') throw error
  }
  return readFile(join(path, holderName), 'utf8').catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error))) return ''
    throw error
  })
}

/** Whether what cannot be read stays as it is. */
async function isTorn(path: string, text: string): Promise<boolean> {
  for (const since = performance.now(); performance.now() - since < settlingMilliseconds; ) {
    await setTimeout(pollMilliseconds)
    if ((await readHolder(path)) !== text) return false
  }
  return true
}

/** Removes the lock of that token, if nobody else is at it. @returns whether it was ours to remove. */
async function removeStale(path: string, token: string, mine: LockHolder): Promise<boolean> {
  const claim = `${path}.over.${token}`
  if (!(await place(claim, mine))) {
    const text = await readHolder(claim)
    const claimant = text === undefined ? undefined : parseHolder(text)
    // Who claims first may be at work; the claim of a dead one is removed by whoever claims that.
    if (text === undefined || (claimant && !isDead(claimant))) return false
    if (claimant === undefined && !(await isTorn(claim, text))) return false
    return removeStale(claim, claimant?.token ?? 'torn', mine)
  }
  try {
    // Nobody but us removes a lock of that token now; another one is none of our business.
    const text = await readHolder(path)
    if (text === undefined || (parseHolder(text)?.token ?? 'torn') !== token) return false
    await removeWhole(path)
    return true
  } finally {
    await removeWhole(claim)
  }
}

function removeOwn(path: string, token: string): void {
  let text: string
  let isFolder = false
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (systemCode(error) !== 'EISDIR') throw error
    isFolder = true
    text = readFileSync(join(path, holderName), 'utf8')
  }
  if (parseHolder(text)?.token !== token) return
  if (!isFolder) {
    unlinkSync(path)
    return
  }
  // Moved away whole: half a lock would be met as a torn one.
  const aside = `${path}.${randomName()}`
  renameSync(path, aside)
  rmSync(aside, { recursive: true, force: true })
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    return holderSchema.parse(parseJson(text, { name: 'The lock', maximumLength: 10_000 }))
  } catch {
    return undefined
  }
}

function locked(folder: string, holder: LockHolder): DpmError {
  const elsewhere = isElsewhere(holder)
  const who = holder.pid === process.pid && !elsewhere ? 'this process' : 'another process'
  const cure = elsewhere
    ? `Whether that process still runs cannot be seen from here (${hostname()}); if it does not, ` +
      `delete ${lockName} in that folder.`
    : 'Wait for it, stop it, or choose another run folder.'
  return new DpmError(
    'DPM_RUN_LOCKED',
    `The run folder ${JSON.stringify(folder)} is in use by ${who}: pid ${holder.pid} on ${holder.host}, ` +
      `since ${holder.since}. ${cure}`,
    { details: { folder, pid: holder.pid, host: holder.host, since: holder.since } },
  )
}
