/** What the operating system's file errors mean for a person: one sentence for the reason, one for the cure. */
import { DpmError } from '../errors.js'

interface Failure {
  readonly reason: string
  readonly cure: string
}

/** What the two tables share: the cause is neither the reading nor the writing. */
const anyFailures: Readonly<Record<string, Failure>> = {
  ENAMETOOLONG: { reason: 'the name is too long', cure: 'Choose a shorter name.' },
  ELOOP: { reason: 'its symbolic links lead in a circle', cure: 'Correct the links, or name the file itself.' },
  EMFILE: { reason: 'this process has too many files open', cure: 'Raise the limit with `ulimit -n`.' },
  ENFILE: { reason: 'the machine has too many files open', cure: 'End other programs, or raise fs.file-max.' },
  ENOMEM: { reason: 'the machine has no memory left', cure: 'End other programs.' },
  EBUSY: { reason: 'another program is using it', cure: 'End that program, or choose another file.' },
  EAGAIN: { reason: 'the file is not ready, or locked by another program', cure: 'Try again.' },
  EINTR: { reason: 'the system interrupted it', cure: 'Try again.' },
  EINVAL: { reason: 'this file system cannot do it', cure: 'Choose a place on another file system.' },
  ENOSYS: { reason: 'this file system cannot do it', cure: 'Choose a place on another file system.' },
  ENOTSUP: { reason: 'this file system cannot do it', cure: 'Choose a place on another file system.' },
  EOPNOTSUPP: { reason: 'this file system cannot do it', cure: 'Choose a place on another file system.' },
  EILSEQ: { reason: 'the file system cannot hold that name', cure: 'Choose a name of plain letters.' },
  ESTALE: { reason: 'the network file system has lost the file', cure: 'Mount it again.' },
  ETIMEDOUT: { reason: 'the network file system does not answer', cure: 'See whether its server is there.' },
  EHOSTDOWN: { reason: 'the network file system does not answer', cure: 'See whether its server is there.' },
  ENOTCONN: { reason: 'the file system is no longer mounted', cure: 'Mount it again.' },
  ENXIO: { reason: 'it is a device, or a pipe that nobody is at the other end of', cure: 'Name a file.' },
  ENODEV: { reason: 'there is no such device', cure: 'Name a file.' },
  ESPIPE: { reason: 'it is a pipe, in which nothing can be looked up', cure: 'Name a file.' },
  EOVERFLOW: { reason: 'it is too large for this system', cure: 'Choose another file.' },
  EXDEV: { reason: 'its place is on another file system', cure: 'Choose a place on the same one.' },
  ERR_INVALID_ARG_VALUE: { reason: 'the name holds a zero byte', cure: 'Correct the name.' },
  ERR_FS_FILE_TOO_LARGE: { reason: 'it is larger than Node reads at once', cure: 'Choose a smaller file.' },
}

const writeFailures: Readonly<Record<string, Failure>> = {
  ...anyFailures,
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
  EEXIST: { reason: 'something of that name is there already', cure: 'Choose another name, or move that away.' },
  ENOTEMPTY: { reason: 'the folder of that name is not empty', cure: 'Choose another name, or move that away.' },
  EFBIG: { reason: 'the file would be larger than this file system allows', cure: 'Write to another disk.' },
  EMLINK: { reason: 'the folder can hold no more folders', cure: 'Choose another folder.' },
  ETXTBSY: { reason: 'a program of that name is running', cure: 'End it, or choose another name.' },
  EPIPE: { reason: 'whoever read it has left', cure: '' },
  EIO: { reason: 'the disk reported an error', cure: 'Check the disk, or write to another one.' },
}

const readFailures: Readonly<Record<string, Failure>> = {
  ...anyFailures,
  EACCES: { reason: 'this user has no permission to read it', cure: 'Ask for read permission.' },
  EPERM: { reason: 'the operating system does not permit it', cure: 'Ask for read permission.' },
  EISDIR: { reason: 'it is a folder', cure: 'Name a file.' },
  EIO: { reason: 'the disk reported an error', cure: 'Check the disk, or restore the file from a copy.' },
}

/** The system's error code, e.g. `ENOSPC`; an empty string when the error is of another kind. */
export function systemCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}

/** Why the system refused to write, in a few words: `the disk is full`. Undefined for what is no error of a file. */
export function refusalOf(error: unknown): string | undefined {
  const { syscall } = (error ?? {}) as { readonly syscall?: unknown }
  const code = systemCode(error)
  return writeFailures[code]?.reason ?? (typeof syscall === 'string' && code ? messageOf(error) : undefined)
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
