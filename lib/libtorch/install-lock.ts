/**
 * One setup at a time per cache folder, across processes and machines that share the folder.
 *
 * The lock is a file made with O_EXCL that names its owner; the owner touches it every few seconds. A lock whose
 * process is gone, or that nobody has touched for a minute, is stale and is taken over.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { throwIfAborted } from '../errors.js'

interface Owner {
  readonly token: string
  readonly host: string
  readonly process: number
  /** Start of that process in clock ticks since boot: tells it from a later one with the same number. */
  readonly started: string | null
}

export interface InstallLock {
  release(): Promise<void>
}

export interface InstallLockOptions {
  readonly signal?: AbortSignal | undefined
  /** Called once, when another process holds the lock. */
  readonly onWait?: (holder: string) => void
  readonly pollMilliseconds?: number
  readonly staleMilliseconds?: number
}

/** Waits for the lock. @throws DpmError DPM_ABORTED, or the file system's error where the folder cannot be written. */
export async function acquireInstallLock(path: string, options: InstallLockOptions = {}): Promise<InstallLock> {
  const { signal, onWait, pollMilliseconds = 300, staleMilliseconds = 60_000 } = options
  const own: Owner = { token: randomUUID(), host: thisHost(), process: process.pid, started: processStart(process.pid) }
  let waited = false
  while (!(await create(path, own))) {
    throwIfAborted(signal, 'Waiting for another setup')
    const holder = await readOwner(path)
    if (holder === 'gone') continue
    if (await isStale(path, holder, staleMilliseconds)) {
      await takeAway(path, holder)
      continue
    }
    if (!waited) onWait?.(holder ? `process ${holder.process} on ${holder.host.split(' ')[0]}` : 'another process')
    waited = true
    await sleep(pollMilliseconds, undefined, signal ? { signal } : {}).catch(() => undefined)
  }
  const touch = setInterval(
    () => void utimes(path, new Date(), new Date()).catch(() => undefined),
    staleMilliseconds / 10,
  )
  touch.unref()
  return {
    async release() {
      clearInterval(touch)
      const holder = await readOwner(path)
      if (holder !== 'gone' && holder?.token === own.token) await rm(path, { force: true })
    },
  }
}

async function create(path: string, own: Owner): Promise<boolean> {
  try {
    await writeFile(path, JSON.stringify(own), { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** The owner; `gone` when there is no lock any more; null when the file is not (yet) readable as one. */
async function readOwner(path: string): Promise<Owner | 'gone' | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Owner
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'gone' : null
  }
}

async function isStale(path: string, holder: Owner | null, staleMilliseconds: number): Promise<boolean> {
  if (holder && holder.host === thisHost()) {
    const started = processStart(holder.process)
    if (started === null) return !isAlive(holder.process)
    return started !== holder.started
  }
  const touched = await stat(path).catch(() => null)
  return touched !== null && Date.now() - touched.mtimeMs > staleMilliseconds
}

/** Process numbers mean something only within one machine and one container. */
function thisHost(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}

function isAlive(process_: number): boolean {
  try {
    process.kill(process_, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function processStart(process_: number): string | null {
  try {
    const fields = readFileSync(`/proc/${process_}/stat`, 'utf8')
    // The second field, the name, may hold spaces and parentheses; the 22nd is the start.
    return fields.slice(fields.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

/** Removes a stale lock, and only that one: another waiter may have taken it over in the meantime. */
async function takeAway(path: string, stale: Owner | null): Promise<void> {
  const aside = `${path}.stale-${randomUUID()}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  const taken = await readOwner(aside)
  if (taken !== 'gone' && taken?.token !== stale?.token) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}
