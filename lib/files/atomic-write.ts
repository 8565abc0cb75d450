/**
 * A file that is either the old one or the new one, whole, whatever happens in between: the bytes go to a temporary
 * name in the same folder, are forced to the disk, and only then take the name.
 */
import { type FileHandle, open, readdir, realpath, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { systemCode, writeFailure } from './file-failure.js'
import { processPlace, runs } from './process-identity.js'
import { randomName } from './random-name.js'

/** What a file is made of: all of it, or parts in order. */
export type Bytes = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** One system call writes at most this much; Linux itself stops below 2 GiB. */
const chunkBytes = 16 * 1024 * 1024
/** `.name.<process>-<its place>-<random>.part`; 0.1.0 wrote the random digits alone. */
const temporaryName = /^\..+\.(?:([0-9]+)-([0-9a-f]{8})-)?[0-9a-f]{12}\.part$/
/** Of a writer that cannot be asked whether it runs, a file this old is taken to be left: nothing is written for so long. */
const abandonedMilliseconds = 24 * 3600 * 1000

/**
 * Writes a file so that a reader, a crash or a full disk never meets half of it. A file of that name is replaced,
 * keeping its permissions; a symbolic link is followed; a pipe or device (`/dev/stdout`) is written straight through.
 * The folder must exist. An error that `data` itself throws is passed on unchanged.
 *
 * @throws DpmError DPM_WRITE_FAILED naming the path, the reason and the cure; what stood there before still stands.
 */
export async function writeAtomically(path: string, data: Bytes): Promise<void> {
  const { target, mode, stream } = await destination(path)
  if (stream) return writeThrough(target, path, data)
  const folder = dirname(target)
  const temporary = join(folder, temporaryOf(target))
  const file = await refused(path, open(temporary, 'wx', mode))
  try {
    try {
      await writeAll(file, path, data)
      // `open` narrows the mode by the umask; a file that is replaced keeps the one it had.
      if (mode !== undefined) await refused(path, file.chmod(mode))
      await refused(path, file.sync())
    } finally {
      await refused(path, file.close())
    }
    await refused(path, rename(temporary, target))
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw error
  }
  await syncFolder(folder, path)
}

/**
 * Removes what writes cut short by a crash left in a folder.
 * @param shared others may be writing there now: only what is of processes that certainly run no more is then removed. Without
 *   it, all; for a folder that no other process writes to.
 * @returns the names removed.
 */
export async function sweepTemporaries(folder: string, shared = false): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  const removed: string[] = []
  for (const name of names) {
    const path = join(folder, name)
    if (!temporaryName.test(name) || (shared && !(await isAbandoned(path, name)))) continue
    // Another process may be sweeping too.
    const gone = unlink(path).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error
    })
    await refused(path, gone)
    removed.push(name)
  }
  return removed
}

/** The name, cut at 60 characters or more, that a temporary file was to take; undefined for a file of another kind. */
export function targetOfTemporary(name: string): string | undefined {
  return temporaryName.test(name)
    ? name.slice(1).replace(/(?:\.[0-9]+-[0-9a-f]{8}-|\.)[0-9a-f]{12}\.part$/, '')
    : undefined
}

async function isAbandoned(path: string, name: string): Promise<boolean> {
  const [, pid, place] = temporaryName.exec(name) ?? []
  if (pid !== undefined && place === processPlace()) return !runs(Number(pid))
  const found = await stat(path).catch(() => undefined)
  return found !== undefined && Date.now() - found.mtimeMs > abandonedMilliseconds
}

/**
 * Whether a file could be written now: refuses what `writeAtomically` would, before there is anything to write. It leaves nothing
 * behind, and takes away what writes to this folder, cut short, have left. The folder must exist.
 * @throws DpmError DPM_WRITE_FAILED naming the path, the reason and the cure.
 */
export async function tryWriting(path: string): Promise<void> {
  const { target, device, stream } = await destination(path)
  if (device) return tryDevice(target, path)
  if (stream) return
  await tryFolder(dirname(target), path)
}

/** The same of any file in a folder. @param path what an error names; the folder when absent. */
export async function tryFolder(folder: string, path = folder): Promise<void> {
  await sweepTemporaries(folder, true).catch(() => undefined)
  const trial = join(folder, temporaryOf('trial'))
  const file = await refused(path, open(trial, 'wx'))
  try {
    // A byte, since a full disk may still have room for names.
    await refused(path, file.write(Uint8Array.of(0)))
  } finally {
    await file.close().catch(() => undefined)
    await unlink(trial).catch(() => undefined)
  }
}

/** Of a device a write of nothing says whether it takes anything: /dev/full does not. */
async function tryDevice(target: string, path: string): Promise<void> {
  const file = await refused(path, open(target, 'w'))
  try {
    await refused(path, file.writev([new Uint8Array(0)]))
  } finally {
    await file.close().catch(() => undefined)
  }
}

/** A name that no other write has. 60 characters are at most 180 bytes, of the 255 that a name may have. */
function temporaryOf(target: string): string {
  return `.${basename(target).slice(0, 60)}.${process.pid}-${processPlace()}-${randomName()}.part`
}

interface Destination {
  readonly target: string
  /** Permissions of the file that is replaced. */
  readonly mode: number | undefined
  readonly stream: boolean
  /** A stream that can be opened without waiting for who reads it. */
  readonly device: boolean
}

async function destination(path: string): Promise<Destination> {
  try {
    const target = await realpath(path)
    const found = await stat(target)
    if (found.isDirectory()) throw Object.assign(new Error('is a folder'), { code: 'EISDIR' })
    const isFile = found.isFile()
    return { target, mode: isFile ? found.mode & 0o777 : undefined, stream: !isFile, device: found.isCharacterDevice() }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') {
      return { target: resolve(path), mode: undefined, stream: false, device: false }
    }
    throw writeFailure(path, error)
  }
}

async function writeThrough(target: string, path: string, data: Bytes): Promise<void> {
  const file = await refused(path, open(target, 'w'))
  try {
    await writeAll(file, path, data)
  } finally {
    await refused(path, file.close())
  }
}

async function writeAll(file: FileHandle, path: string, data: Bytes): Promise<void> {
  for await (const part of data instanceof Uint8Array ? [data] : data) {
    for (let offset = 0; offset < part.byteLength; ) {
      const length = Math.min(chunkBytes, part.byteLength - offset)
      const { bytesWritten } = await refused(path, file.write(part, offset, length))
      offset += bytesWritten
    }
  }
}

/** Forces the new name itself to the disk. Where a folder cannot be opened or forced, the rename alone must do. */
async function syncFolder(folder: string, path: string): Promise<void> {
  try {
    const handle = await open(folder, 'r')
    await handle.sync().finally(() => handle.close())
  } catch (error) {
    if (!['EACCES', 'EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR', 'ENOSYS'].includes(systemCode(error))) {
      throw writeFailure(path, error)
    }
  }
}

/** Waits for a system call, turning its refusal into one about the path that the caller knows. */
async function refused<Result>(path: string, call: Promise<Result>): Promise<Result> {
  try {
    return await call
  } catch (error) {
    throw writeFailure(path, error)
  }
}
