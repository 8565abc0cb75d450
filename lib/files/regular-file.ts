/** Opens what is read by position. A pipe would wait for a writer for ever, and a device may have no end. */
import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { DpmError } from '../errors.js'
import { readFailure } from './file-failure.js'

export interface RegularFile {
  readonly file: FileHandle
  readonly sizeBytes: number
}

/**
 * The file is the caller's to close.
 * @param what it is, for the message of one that is missing.
 * @throws DpmError DPM_FILE_MISSING, or DPM_FILE_INVALID for what is no file.
 */
export async function openRegularFile(path: string, what = 'file'): Promise<RegularFile> {
  // Without this flag to open a pipe is to wait.
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)
  const file = await open(path, flags).catch((error: unknown) => {
    throw readFailure(path, error, what)
  })
  try {
    const found = await file.stat()
    requireRegular(path, found)
    return { file, sizeBytes: found.size }
  } catch (error) {
    await file.close()
    throw error instanceof DpmError ? error : readFailure(path, error)
  }
}

/**
 * The whole of a small file.
 * @param most bytes that it may have.
 * @throws DpmError DPM_FILE_MISSING, or DPM_FILE_INVALID for what is no file, and for one of more bytes.
 */
export async function readSmallFile(path: string, most: number): Promise<Buffer> {
  const { file, sizeBytes } = await openRegularFile(path)
  try {
    if (sizeBytes > most) {
      throw invalid(
        path,
        `it has ${sizeBytes} bytes, and what it should hold takes at most ${most}`,
        'Correct the path.',
      )
    }
    // A byte more than there were: it may be growing.
    const bytes = Buffer.alloc(sizeBytes + 1)
    let length = 0
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = (await file.read(bytes, length, bytes.length - length, length)).bytesRead
    }
    return bytes.subarray(0, Math.min(length, sizeBytes))
  } catch (error) {
    throw error instanceof DpmError ? error : readFailure(path, error)
  } finally {
    await file.close()
  }
}

function requireRegular(path: string, found: Stats): void {
  if (found.isFile()) return
  if (found.isDirectory()) throw invalid(path, 'it is a folder', 'Name a file in it.')
  const kind = found.isFIFO() ? 'a pipe' : found.isSocket() ? 'a socket' : 'a device'
  throw invalid(path, `it is ${kind}, not a file`, 'Save what it gives to a file first.')
}

function invalid(path: string, reason: string, cure: string): DpmError {
  return new DpmError('DPM_FILE_INVALID', `Could not read ${JSON.stringify(path)}: ${reason}. ${cure}`, {
    details: { path },
  })
}
