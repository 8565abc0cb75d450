/** Puts the parts of libtorch that a flavour needs into a folder, from a wheel, an official zip or an unpacked one. */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { access, chmod, constants, copyFile, mkdir, readdir, stat, statfs, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DpmError, show, throwIfAborted } from '../errors.js'
import { readFailure, systemCode } from '../files/file-failure.js'
import { openZip, type ZipArchive, type ZipEntry } from '../files/zip-archive.js'
import { type Flavour, fitsCore, libtorchMinor, wheelKeeps, zipKeeps } from './manifest.js'
import { ProgressMeter, type ReportProgress, showBytes } from './progress.js'

export interface UnpackOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ReportProgress | undefined
}

/** What an archive or folder is, seen from its list of files. */
export interface Contents {
  readonly kind: 'torch-wheel' | 'nvidia-wheel' | 'zip'
  /** As its own name for itself says; null for an official zip, whose `build-version` is read once unpacked. */
  readonly version: string | null
  /** Whether it was built for CUDA: then even its CPU library needs `libcudart` and `libcupti`. */
  readonly cuda: boolean
}

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID */
export async function describeArchive(path: string): Promise<Contents> {
  const archive = await openZip(path)
  try {
    return contentsOf(archive)
  } finally {
    await archive.close()
  }
}

function contentsOf(archive: ZipArchive): Contents {
  const paths = new Set(archive.entries.map((entry) => entry.path))
  if (paths.has('libtorch/lib/libtorch_cpu.so')) {
    return { kind: 'zip', version: null, cuda: paths.has('libtorch/lib/libtorch_cuda.so') }
  }
  const record = archive.entries.find((entry) => /^[^/]+\.dist-info\/RECORD$/.test(entry.path))
  const version = /-(\d[^-]*)\.dist-info\//.exec(record?.path ?? '')?.[1] ?? null
  if (record && paths.has('torch/lib/libtorch_cpu.so')) {
    return { kind: 'torch-wheel', version, cuda: paths.has('torch/lib/libtorch_cuda.so') }
  }
  if (record?.path.startsWith('nvidia_')) return { kind: 'nvidia-wheel', version, cuda: true }
  throw new DpmError(
    'DPM_FILE_INVALID',
    `Expected a torch wheel or an official libtorch zip but ${archive.path} holds neither: it has no ` +
      'torch/lib/libtorch_cpu.so and no libtorch/lib/libtorch_cpu.so.',
  )
}

/**
 * Unpacks what `flavour` needs; every file is checked against the archive's CRC-32 and, in a wheel, against the
 * SHA-256 in its RECORD.
 * @returns the folder with `lib/`, relative to `into`: `torch` or `libtorch`.
 * @throws DpmError DPM_FILE_INVALID, DPM_LIBTORCH_MISMATCH, DPM_WRITE_FAILED, DPM_ABORTED
 */
export async function unpackArchive(
  path: string,
  into: string,
  flavour: Flavour,
  options: UnpackOptions,
): Promise<string> {
  const archive = await openZip(path)
  try {
    const contents = contentsOf(archive)
    if (contents.kind === 'torch-wheel' && contents.version !== null && !fitsCore(contents.version)) {
      throw new DpmError(
        'DPM_LIBTORCH_MISMATCH',
        `Expected a torch ${libtorchMinor} wheel but ${path} is torch ${contents.version}. ` +
          `Give one of ${libtorchMinor}, or leave it out to download it.`,
        { details: { path, version: contents.version, expected: libtorchMinor } },
      )
    }
    const wheel = contents.kind !== 'zip'
    const checksums = wheel ? await readRecord(archive) : null
    const entries = archive.entries.filter((entry) => {
      return wheel ? wheelKeeps(entry.path, flavour) : zipKeeps(entry.path.replace(/^libtorch\//, ''))
    })
    // The large files first: the rate of the many small ones would promise minutes.
    entries.sort((a, b) => b.sizeBytes - a.sizeBytes)
    const totalBytes = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0)
    await requireSpace(into, totalBytes)
    const meter = new ProgressMeter('unpack', basename(path), totalBytes, options.onProgress)
    await makeFolders(into, entries)
    await forEachInFlight(entries, 8, async (entry) => {
      throwIfAborted(options.signal, 'The setup')
      await writeEntry(archive, entry, join(into, entry.path), checksums, meter, options.signal)
    })
    return wheel ? 'torch' : 'libtorch'
  } finally {
    await archive.close()
  }
}

async function makeFolders(into: string, entries: readonly ZipEntry[]): Promise<void> {
  for (const folder of new Set(entries.map((entry) => dirname(entry.path))))
    await mkdir(join(into, folder), { recursive: true, mode: folderMode })
}

/** A handful of files at a time: the disk is kept busy, memory stays small, and the first failure ends it. */
async function forEachInFlight<Item>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items.values()
  let failed = false
  const lane = async () => {
    for (const item of iterator) {
      if (failed) return
      try {
        await work(item)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: width }, lane))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

const streamedBytes = 1 << 20
/** Nothing that is there is written over, and no link followed: where names differ only in case, a file system may hold one. */
const exclusive = 'wx'
/** Others may read what is installed; what they could write to, they could make run. */
export const folderMode = 0o755

async function writeEntry(
  archive: ZipArchive,
  entry: ZipEntry,
  target: string,
  checksums: ReadonlyMap<string, string> | null,
  meter: ProgressMeter,
  signal: AbortSignal | undefined,
): Promise<void> {
  const mode = entry.executable ? 0o755 : 0o644
  const hash = createHash('sha256')
  const clash = (error: unknown) => {
    if (systemCode(error) !== 'EEXIST') return error
    const message = `${show(entry.path)} in ${archive.path} has a name that this file system cannot tell from another one in it.`
    return new DpmError('DPM_FILE_INVALID', `${message} Set DPM_TORCH_HOME to a folder on another file system.`, {
      cause: error,
    })
  }
  if (entry.sizeBytes < streamedBytes) {
    const bytes = await archive.read(entry)
    hash.update(bytes)
    await writeFile(target, bytes, { mode, flag: exclusive }).catch((error: unknown) => {
      throw clash(error)
    })
    meter.add(bytes.length)
  } else {
    const observe = (chunk: Buffer) => {
      hash.update(chunk)
      meter.add(chunk.length)
    }
    try {
      await archive.extract(entry, createWriteStream(target, { mode, flags: exclusive, highWaterMark: 1 << 20 }), {
        signal,
        observe,
      })
    } catch (error) {
      throwIfAborted(signal, 'The setup')
      throw clash(error)
    }
  }
  if (checksums === null || entry.path.endsWith('.dist-info/RECORD')) return
  const digest = hash.digest('base64url')
  const recorded = checksums.get(entry.path)
  if (digest === recorded) return
  throw new DpmError(
    'DPM_FILE_INVALID',
    `${entry.path} in ${archive.path} does not have the SHA-256 of the wheel's RECORD: expected ${recorded ?? 'one at all'} ` +
      `but it has ${digest}. Do not use this wheel; download it again.`,
  )
}

/** SHA-256 by path (base64url without padding), as PEP 376 and the wheel format write it. */
async function readRecord(archive: ZipArchive): Promise<ReadonlyMap<string, string>> {
  const record = archive.entries.find((entry) => /^[^/]+\.dist-info\/RECORD$/.test(entry.path))
  if (!record) throw new DpmError('DPM_FILE_INVALID', `${archive.path} is no wheel: it has no RECORD of its files.`)
  const checksums = new Map<string, string>()
  for (const line of (await archive.read(record)).toString('utf8').split(/\r?\n/)) {
    const [, quoted, path, checksum] = /^(?:"((?:[^"]|"")*)"|([^",]*)),sha256=([\w-]+),\d+$/.exec(line) ?? []
    const name = quoted?.replaceAll('""', '"') ?? path
    if (name !== undefined && checksum !== undefined) checksums.set(name, checksum)
  }
  return checksums
}

/**
 * Copies what `flavour` needs from an unpacked libtorch, or from a torch package with the nvidia ones beside it.
 * @param root the folder that holds `lib/`.
 * @returns the folder with `lib/`, relative to `into`.
 */
export async function copyUnpacked(
  root: string,
  into: string,
  flavour: Flavour,
  options: UnpackOptions,
): Promise<string> {
  const wheel = (await stat(join(root, 'version.py')).catch(() => null)) !== null
  const [from, folder] = wheel ? [dirname(root), 'torch'] : [root, 'libtorch']
  const files: { readonly source: string; readonly target: string }[] = []
  const add = async (below: string, keeps: (path: string) => boolean, prefix: string) => {
    const found = await readdir(join(from, below), { recursive: true, withFileTypes: true }).catch(() => [])
    for (const file of found) {
      if (file.isDirectory()) continue
      const source = join(file.parentPath, file.name)
      const path = source.slice(from.length + 1)
      if (keeps(path)) files.push({ source, target: join(into, prefix, path) })
    }
  }
  if (wheel) {
    const own = `${basename(root)}/`
    const keeps = (path: string) => wheelKeeps(path.startsWith(own) ? `torch/${path.slice(own.length)}` : path, flavour)
    const information = (await readdir(from)).filter((name) => /^torch-[^/]*\.dist-info$/.test(name))
    for (const below of [`${basename(root)}/lib`, `${basename(root)}/include`, 'nvidia', ...information])
      await add(below, keeps, '')
    const versionFile = join(basename(root), 'version.py')
    files.push({ source: join(from, versionFile), target: join(into, versionFile) })
  } else {
    for (const below of ['lib', 'include']) await add(below, zipKeeps, folder)
    const versionFile = join(root, 'build-version')
    if (await stat(versionFile).catch(() => null))
      files.push({ source: versionFile, target: join(into, folder, 'build-version') })
  }
  const sizes = await Promise.all(files.map(({ source }) => fileSize(source)))
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0)
  await requireSpace(into, totalBytes)
  const meter = new ProgressMeter('unpack', from, totalBytes, options.onProgress)
  for (const target of new Set(files.map((file) => dirname(file.target))))
    await mkdir(target, { recursive: true, mode: folderMode })
  await forEachInFlight([...files.entries()], 4, async ([index, { source, target }]) => {
    throwIfAborted(options.signal, 'The setup')
    await copyFile(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
    await chmod(target, 0o644)
    meter.add(sizes[index] ?? 0)
  })
  return wheel ? basename(root) : folder
}

/** @throws DpmError DPM_FILE_INVALID for what is no file, or may not be read: a pipe would be waited for, for ever. */
async function fileSize(path: string): Promise<number> {
  try {
    const found = await stat(path)
    if (!found.isFile()) throw Object.assign(new Error('it is no file'), { code: 'ENXIO' })
    await access(path, constants.R_OK)
    return found.size
  } catch (error) {
    throw readFailure(path, error)
  }
}

/** @throws DpmError DPM_WRITE_FAILED when the disk of `folder` has fewer free bytes. */
export async function requireSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  if (freeBytes >= bytes) return
  throw new DpmError(
    'DPM_WRITE_FAILED',
    `libtorch needs ${showBytes(bytes)} of free disk in ${folder} but only ${showBytes(freeBytes)} are free. ` +
      'Free some, or set DPM_TORCH_HOME to a folder on another disk.',
    { details: { folder, neededBytes: bytes, freeBytes } },
  )
}
