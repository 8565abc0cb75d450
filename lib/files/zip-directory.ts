/**
 * The list of files that ends a zip: stored or deflated entries, ZIP64 too. Only what it lists can be read of the archive.
 *
 * Written for archives from elsewhere: a path that would leave the folder or that no file system holds, a link or a device, a
 * file where another entry needs a folder, an encrypted entry, two entries that share bytes, or an entry that inflates to more
 * than it declares (a zip bomb) is refused.
 * Format: APPNOTE.TXT 6.3.10 of PKWARE, §4.3.
 */
import type { FileHandle } from 'node:fs/promises'
import { DpmError, show } from '../errors.js'
import { readFailure } from './file-failure.js'

export interface ZipEntry {
  /** Path inside the archive, with forward slashes; never absolute, never with `..`. */
  readonly path: string
  readonly method: 'stored' | 'deflated'
  readonly compressedBytes: number
  readonly sizeBytes: number
  readonly crc32: number
  readonly executable: boolean
  /** Where the entry's local header starts. */
  readonly offset: number
  /** Where the next entry, or the list of files, starts: no byte from there on is this entry's. */
  readonly limit: number
}

const endSignature = 0x06054b50
const end64LocatorSignature = 0x07064b50
const end64Signature = 0x06064b50
const centralSignature = 0x02014b50
const localSignature = 0x04034b50
const endBytes = 22
const longestComment = 0xffff
/** Deflate cannot shrink further than 1032 : 1, so a larger declared ratio is a lie. */
const largestRatio = 1032
/** No archive of ours needs a longer central directory (the torch wheel's is 2 MB). */
const longestDirectory = 256e6
/** Of one part of a path, in bytes: what Linux' file systems hold. */
const longestName = 255
/** Of a whole path, in bytes: a quarter of what Linux takes, so that there is room for the folder it is unpacked into. */
const longestPath = 1024
/** One read call takes at most this much; Node itself stops below 2 GiB. */
const longestRead = 16 * 1024 * 1024

export function invalid(path: string, why: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${path} is no usable zip archive: ${why}. Download it again, or take it from another place.`,
    { details: { path } },
  )
}

export async function readAt(
  file: FileHandle,
  path: string,
  offset: number,
  length: number,
): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file
      .read(bytes, done, Math.min(longestRead, length - done), offset + done)
      .catch((error: unknown) => {
        throw readFailure(path, error, 'archive')
      })
    if (bytesRead === 0) throw invalid(path, `it ends at byte ${offset + done}, in the middle of an entry`)
    done += bytesRead
  }
  return bytes
}

interface Directory {
  readonly offset: number
  readonly length: number
  readonly count: number
}

async function findDirectory(file: FileHandle, path: string, size: number): Promise<Directory> {
  const tailBytes = Math.min(size, endBytes + longestComment)
  const tail = await readAt(file, path, size - tailBytes, tailBytes)
  let at = tailBytes - endBytes
  while (
    at >= 0 &&
    !(tail.readUInt32LE(at) === endSignature && at + endBytes + tail.readUInt16LE(at + 20) === tailBytes)
  )
    at--
  if (at < 0)
    throw invalid(path, 'its list of files, which ends a zip, is missing: it was cut short or is something else')
  const directory = {
    offset: tail.readUInt32LE(at + 16),
    length: tail.readUInt32LE(at + 12),
    count: tail.readUInt16LE(at + 10),
  }
  const locatorAt = size - tailBytes + at - 20
  if (locatorAt < 0) return directory
  const locator = await readAt(file, path, locatorAt, 20)
  if (locator.readUInt32LE(0) !== end64LocatorSignature) return directory
  const end64 = await readAt(file, path, exact(path, locator.readBigUInt64LE(8)), 56)
  if (end64.readUInt32LE(0) !== end64Signature) throw invalid(path, 'its ZIP64 record is damaged')
  return {
    offset: exact(path, end64.readBigUInt64LE(48)),
    length: exact(path, end64.readBigUInt64LE(40)),
    count: exact(path, end64.readBigUInt64LE(32)),
  }
}

/** A 64-bit field as a number: files are not larger than a number can count. */
function exact(path: string, value: bigint): number {
  if (value <= Number.MAX_SAFE_INTEGER) return Number(value)
  throw invalid(path, `it claims a position or size of ${value} bytes`)
}

/** Its files, in the order of the list. @throws DpmError DPM_FILE_INVALID */
export async function readDirectory(file: FileHandle, path: string, size: number): Promise<ZipEntry[]> {
  if (size < endBytes) throw invalid(path, `it has only ${size} bytes`)
  const { offset, length, count } = await findDirectory(file, path, size)
  if (offset + length > size || length > longestDirectory)
    throw invalid(path, 'its list of files lies outside the file')
  const bytes = await readAt(file, path, offset, length)
  const entries: Omit<ZipEntry, 'limit'>[] = []
  const paths = new Set<string>()
  const folders = new Set<string>()
  let at = 0
  for (let index = 0; index < count; index++) {
    if (at + 46 > length || bytes.readUInt32LE(at) !== centralSignature)
      throw invalid(path, 'its list of files is damaged')
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ]
    const next = at + 46 + nameBytes + extraBytes + commentBytes
    if (next > length) throw invalid(path, 'its list of files is damaged')
    const name = bytes.toString('utf8', at + 46, at + 46 + nameBytes)
    requireSafePath(path, name)
    addFolders(folders, name)
    if (!name.endsWith('/')) {
      if (paths.has(name)) throw invalid(path, `${plain(name)} is in it twice`)
      paths.add(name)
      const extra = bytes.subarray(at + 46 + nameBytes, at + 46 + nameBytes + extraBytes)
      entries.push(readCentralHeader(path, name, bytes.subarray(at, at + 46), extra))
    }
    at = next
  }
  const both = entries.find((entry) => folders.has(entry.path))
  if (both) throw invalid(path, `${plain(both.path)} is in it as a file and as a folder`)
  return apart(path, entries, offset)
}

/** The folders that a path needs; the walk ends at the first that is known, and with it all above it. */
function addFolders(folders: Set<string>, name: string): void {
  for (let at = name.lastIndexOf('/'); at > 0; at = name.lastIndexOf('/', at - 1)) {
    const folder = name.slice(0, at)
    if (folders.has(folder)) return
    folders.add(folder)
  }
}

function requireSafePath(path: string, name: string): void {
  const parts = (name.endsWith('/') ? name.slice(0, -1) : name).split('/')
  const leaves = name.startsWith('/') || /^[A-Za-z]:/.test(name) || /[\\\0]/.test(name) || parts.includes('..')
  if (leaves) throw invalid(path, `it wants to write outside its folder, to ${show(name)}`)
  if (parts.some((part) => part === '' || part === '.')) throw invalid(path, `${plain(name)} is no name of a file`)
  if (Buffer.byteLength(name) > longestPath || parts.some((part) => Buffer.byteLength(part) > longestName)) {
    throw invalid(path, `the name ${plain(name)} is too long for a file system`)
  }
}

/** A name as an error may print it: quoted where it holds anything that a terminal would obey. */
export function plain(name: string): string {
  return /^[\x20-\x7e]{1,80}$/.test(name) ? name : show(name)
}

function readCentralHeader(path: string, name: string, header: Buffer, extra: Buffer): Omit<ZipEntry, 'limit'> {
  const flags = header.readUInt16LE(8)
  const method = header.readUInt16LE(10)
  if (flags & 1) throw invalid(path, `${plain(name)} is encrypted`)
  if (method !== 0 && method !== 8)
    throw invalid(path, `${plain(name)} is compressed with method ${method}, which is not deflate`)
  const mode = header.readUInt16LE(4) >> 8 === 3 ? header.readUInt32LE(38) >>> 16 : 0
  const type = mode & 0o170000
  if (type === 0o120000) throw invalid(path, `${plain(name)} is a link`)
  if (type !== 0 && type !== 0o100000) throw invalid(path, `${plain(name)} is neither a file nor a folder`)
  // ZIP64 (§4.5.3): in this order, each only where the 32-bit field is full.
  const wide = findExtra(extra, 1)
  let at = 0
  const field = (narrow: number): number => {
    if (narrow !== 0xffffffff) return narrow
    if (at + 8 > wide.length) throw invalid(path, `the sizes of ${plain(name)} are missing`)
    at += 8
    return exact(path, wide.readBigUInt64LE(at - 8))
  }
  const sizeBytes = field(header.readUInt32LE(24))
  const compressedBytes = field(header.readUInt32LE(20))
  const offset = field(header.readUInt32LE(42))
  if (sizeBytes > compressedBytes * largestRatio + 1024) {
    throw invalid(
      path,
      `${plain(name)} claims to inflate from ${compressedBytes} to ${sizeBytes} bytes, more than deflate can`,
    )
  }
  if (method === 0 && sizeBytes !== compressedBytes) throw invalid(path, `${plain(name)} has two different sizes`)
  return {
    path: name,
    method: method === 0 ? 'stored' : 'deflated',
    compressedBytes,
    sizeBytes,
    crc32: header.readUInt32LE(16),
    executable: (mode & 0o111) !== 0,
    offset,
  }
}

function findExtra(extra: Buffer, wanted: number): Buffer {
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2)
    if (extra.readUInt16LE(at) === wanted) return extra.subarray(at + 4, at + 4 + length)
    at += 4 + length
  }
  return Buffer.alloc(0)
}

/** Entries that overlap would let a small archive declare the same bytes many times. */
function apart(path: string, entries: readonly Omit<ZipEntry, 'limit'>[], end: number): ZipEntry[] {
  const sorted = [...entries].sort((a, b) => a.offset - b.offset)
  const limits = new Map(sorted.map((entry, index) => [entry, sorted[index + 1]?.offset ?? end]))
  return entries.map((entry) => {
    const limit = limits.get(entry) ?? end
    if (entry.offset + 30 + entry.compressedBytes > limit)
      throw invalid(path, `${plain(entry.path)} overlaps what follows it`)
    return { ...entry, limit }
  })
}

/** Where an entry's bytes start: its local header repeats the name, and its extra fields may have another length. */
export async function dataOffset(file: FileHandle, path: string, entry: ZipEntry): Promise<number> {
  const local = await readAt(file, path, entry.offset, 30)
  if (local.readUInt32LE(0) !== localSignature)
    throw invalid(path, `${plain(entry.path)} is not where the list of files says`)
  const start = entry.offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28)
  if (start + entry.compressedBytes > entry.limit) throw invalid(path, `${plain(entry.path)} overlaps what follows it`)
  return start
}
