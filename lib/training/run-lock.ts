/**
 * One run folder, one training process. The lock is a file `run.lock` that says who holds it; the lock of a process
 * that has died, however it died, is taken over.
 *
 * A process number alone proves nothing, since numbers are used again: the lock also holds when the process began, and
 * in which boot of the machine and which container that number counts.
 */
import { readFileSync, readlinkSync, unlinkSync } from 'node:fs'
import { link, open, readFile, rename, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { systemCode, writeFailure } from '../files/file-failure.js'
import { parseJson } from '../files/parse-json.js'
import { randomName } from '../files/random-name.js'

export const lockName = 'run.lock'
const settlingMilliseconds = 50

const holderSchema = z.object({
  pid: z.int().min(1),
  host: z.string(),
  /** When the lock was taken, ISO 8601. */
  since: z.string(),
  /** Clock ticks from the machine's boot to the process's start; null where there is no /proc. */
  processStart: z.string().nullable(),
  bootId: z.string().nullable(),
  /** The set of processes in which `pid` counts: differs between containers of one machine. */
  pidNamespace: z.string().nullable(),
  /** Tells this lock from every other. */
  token: z.string(),
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
    const mine = thisProcess()
    // Each round either takes the lock, meets a live holder, or removes one dead holder's file.
    for (let round = 0; round < 20; round++) {
      if ((await place(path, mine)) && (round === 0 || (await isSettled(path, mine)))) return new RunLock(path, mine)
      const text = await readFile(path, 'utf8').catch((error: unknown) => {
        if (systemCode(error) === 'ENOENT') return undefined
        throw writeFailure(path, error)
      })
      if (text === undefined) continue
      const holder = parseHolder(text)
      // Ours was moved aside and put back while it settled.
      if (holder?.token === mine.token && (await isSettled(path, mine))) return new RunLock(path, mine)
      if (holder && !isDead(holder)) throw locked(folder, holder)
      await removeStale(path, text)
    }
    throw new DpmError(
      'DPM_RUN_LOCKED',
      `The run folder ${JSON.stringify(folder)} is being opened by several processes at once. Start only one of them.`,
    )
  }

  /** Gives the folder free, unless another process has taken the lock over. Doing it twice is harmless. */
  release(): void {
    if (!this.#held) return
    this.#held = false
    process.removeListener('exit', this.#releaseOnExit)
    try {
      if (parseHolder(readFileSync(this.path, 'utf8'))?.token === this.holder.token) unlinkSync(this.path)
    } catch {
      // The folder is gone or has become read-only; the lock is void as soon as this process ends.
    }
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

/** Puts the lock in place in one step, so that nobody ever reads half of it. False when there is one already. */
async function place(path: string, holder: LockHolder): Promise<boolean> {
  const text = `${JSON.stringify(holder, null, 2)}\n`
  const draft = `${path}.${holder.token}`
  try {
    await writeNew(draft, text)
    try {
      await link(draft, path)
    } catch (error) {
      if (systemCode(error) === 'EEXIST') return false
      // A file system without hard links: the next best is that only one process can create the file.
      if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EACCES'].includes(systemCode(error))) throw error
      await writeNew(path, text)
    } finally {
      await unlink(draft)
    }
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw writeFailure(path, error)
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx')
  await file.writeFile(text).finally(() => file.close())
}

/**
 * Whether a lock that was taken over is still there a moment later: someone who also saw the dead holder may have moved
 * it aside ({@link removeStale}), and a third may have come in before it was put back.
 */
async function isSettled(path: string, holder: LockHolder): Promise<boolean> {
  await setTimeout(settlingMilliseconds)
  const text = await readFile(path, 'utf8').catch(() => '')
  return parseHolder(text)?.token === holder.token
}

/**
 * Removes a dead holder's lock. Two processes may both have read it as dead, and the first may already have put its own
 * in place: so the file is moved away, and put back if it is not the one that was read.
 */
async function removeStale(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomName()}`
  try {
    await rename(path, aside)
    if ((await readFile(aside, 'utf8')) !== text) await link(aside, path).catch(() => undefined)
    await unlink(aside)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw writeFailure(path, error)
  }
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    return holderSchema.parse(parseJson(text, { name: 'The lock', maximumLength: 10_000 }))
  } catch {
    return undefined
  }
}

function thisProcess(): LockHolder {
  return {
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
    processStart: processStart(process.pid) ?? null,
    bootId: bootId(),
    pidNamespace: pidNamespace(),
    token: randomName(),
  }
}

/** Whether the holder certainly runs no more. Of other machines and containers nothing is known. */
function isDead(holder: LockHolder): boolean {
  if (holder.host !== hostname()) return false
  if (holder.bootId !== null && bootId() !== null && holder.bootId !== bootId()) return true
  if (holder.pidNamespace !== pidNamespace()) return false
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return true
  }
  if (holder.processStart === null || bootId() === null) return false
  return processStart(holder.pid) !== holder.processStart
}

/** Field 22 of /proc/<pid>/stat (proc_pid_stat(5)); undefined for a process that is gone or a zombie. */
function processStart(pid: number): string | undefined {
  const stat = readSystem(`/proc/${pid}/stat`)
  // The second field is the program's name in brackets and may itself hold spaces and brackets.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields?.[0] === 'Z' || fields?.[0] === 'X' ? undefined : fields?.[19]
}

function bootId(): string | null {
  return readSystem('/proc/sys/kernel/random/boot_id') ?? null
}

function pidNamespace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return null
  }
}

function readSystem(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

function locked(folder: string, holder: LockHolder): DpmError {
  const elsewhere = holder.host !== hostname() || holder.pidNamespace !== pidNamespace()
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
