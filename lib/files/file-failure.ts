/** What the operating system's file errors mean for a person: one sentence for the reason, one for the cure. */
import { DpmError } from '../errors.js'

interface Failure {
  readonly reason: string
  readonly cure: string
}

const writeFailures: Readonly<Record<string, Failure>> = {
  ENOSPC: { reason: 'the disk is full', cure: 'Free some space, or write to another disk.' },
  EDQUOT: { reason: 'your disk quota is used up', cure: 'Delete files of yours, or write to another disk.' },
  EROFS: { reason: 'the file system is read-only', cure: 'Choose a folder on a file system that can be written.' },
  EACCES: {
    reason: 'this user has no permission to write there',
    cure: 'Choose another folder, or ask for write permission on this one.',
  },
  EPERM: {
    reason: 'the operating system does not permit it',
    cure: 'Choose another folder, or see whether the file or folder is marked as unchangeable.',
  },
  ENOENT: { reason: 'the folder does not exist', cure: 'Create the folder first, or correct the path.' },
  ENOTDIR: { reason: 'a part of the path is a file, not a folder', cure: 'Correct the path.' },
  EISDIR: { reason: 'there is a folder of that name', cure: 'Choose another name, or name a file in that folder.' },
  ENAMETOOLONG: { reason: 'the name is too long', cure: 'Choose a shorter name.' },
  EFBIG: { reason: 'the file would be larger than this file system allows', cure: 'Write to another disk.' },
  EMFILE: { reason: 'this process has too many files open', cure: 'Raise the limit with `ulimit -n`.' },
  EIO: { reason: 'the disk reported an error', cure: 'Check the disk, or write to another one.' },
}

const readFailures: Readonly<Record<string, Failure>> = {
  EACCES: { reason: 'this user has no permission to read it', cure: 'Ask for read permission.' },
  EPERM: { reason: 'the operating system does not permit it', cure: 'Ask for read permission.' },
  EISDIR: { reason: 'it is a folder', cure: 'Name a file.' },
  EMFILE: { reason: 'this process has too many files open', cure: 'Raise the limit with `ulimit -n`.' },
  EIO: { reason: 'the disk reported an error', cure: 'Check the disk, or restore the file from a copy.' },
}

/** The system's error code, e.g. `ENOSPC`; an empty string when the error is of another kind. */
export function systemCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}

/** DPM_WRITE_FAILED for a path: what was refused, why, and the cure. `details` holds the path and the system's code. */
export function writeFailure(path: string, error: unknown): DpmError {
  const code = systemCode(error)
  const failure = writeFailures[code] ?? { reason: messageOf(error), cure: '' }
  return new DpmError('DPM_WRITE_FAILED', sentence(`Could not write ${JSON.stringify(path)}`, failure, code), {
    cause: error,
    details: { path, systemCode: code },
  })
}

/** DPM_FILE_MISSING when nothing is there, DPM_FILE_INVALID when it is there and cannot be read. */
export function readFailure(path: string, error: unknown, what = 'file'): DpmError {
  const code = systemCode(error)
  const options = { cause: error, details: { path, systemCode: code } }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new DpmError(
      'DPM_FILE_MISSING',
      `There is no ${what} at ${JSON.stringify(path)}. Correct the path.`,
      options,
    )
  }
  const failure = readFailures[code] ?? { reason: messageOf(error), cure: '' }
  return new DpmError('DPM_FILE_INVALID', sentence(`Could not read ${JSON.stringify(path)}`, failure, code), options)
}

function sentence(what: string, { reason, cure }: Failure, code: string): string {
  return `${what}: ${reason}${code ? ` (${code})` : ''}.${cure ? ` ${cure}` : ''}`
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')
}
