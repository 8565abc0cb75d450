/**
 * Which process something is of, and whether it still runs. A process number alone proves nothing, since numbers are used again:
 * what counts too is when the process began, and in which boot of the machine and which container its number counts.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { systemCode } from './file-failure.js'

export interface ProcessIdentity {
  readonly pid: number
  readonly host: string
  /** Clock ticks from the machine's boot to the process's start; null where there is no /proc. */
  readonly processStart: string | null
  readonly bootId: string | null
  /** The set of processes in which `pid` counts: differs between containers of one machine. */
  readonly pidNamespace: string | null
}

export function thisProcess(): ProcessIdentity {
  return {
    pid: process.pid,
    host: hostname(),
    processStart: processStart(process.pid) ?? null,
    bootId: bootId(),
    pidNamespace: pidNamespace(),
  }
}

/** Whether its number counts in another set of processes than ours: of other machines and containers nothing is known. */
export function isElsewhere({ host, pidNamespace: namespace }: ProcessIdentity): boolean {
  return host !== hostname() || namespace !== pidNamespace()
}

/** Whether the process certainly runs no more. */
export function isDead(one: ProcessIdentity): boolean {
  if (one.host !== hostname()) return false
  if (one.bootId !== null && bootId() !== null && one.bootId !== bootId()) return true
  if (isElsewhere(one)) return false
  if (!runs(one.pid)) return true
  if (one.processStart === null || bootId() === null) return false
  return processStart(one.pid) !== one.processStart
}

/** Eight digits for the set of processes that ours counts in: this boot of this machine, this container. */
export function processPlace(): string {
  const text = `${hostname()}\0${bootId()}\0${pidNamespace()}`
  // FNV-1a in 32 bits: names need no more.
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash.toString(16).padStart(8, '0')
}

/** Whether there is a process of that number here. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) !== 'ESRCH'
  }
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
