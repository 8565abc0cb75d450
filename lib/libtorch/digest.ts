/** Native code has an identity: the SHA-256 of the file that it comes in, looked at before anything of it is unpacked. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { DpmError, throwIfAborted } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import { openRegularFile } from '../files/regular-file.js'
import { type WheelFile, wheelFiles } from './wheel-files.js'

export interface Identity {
  readonly sha256: string
  readonly sizeBytes: number
  /** The file of ours that it is, whatever its name; undefined for any other. */
  readonly known: WheelFile | undefined
  /** @throws DpmError DPM_FILE_INVALID when the file has been written to since. */
  requireUnchanged(): Promise<void>
}

const blockBytes = 1 << 20

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID, DPM_ABORTED */
export async function identify(path: string, signal?: AbortSignal): Promise<Identity> {
  const before = await stamp(path)
  const { file, sizeBytes } = await openRegularFile(path, 'archive')
  const hash = createHash('sha256')
  const block = Buffer.alloc(blockBytes)
  try {
    for (let at = 0; at < sizeBytes; ) {
      throwIfAborted(signal, 'The setup')
      const { bytesRead } = await file.read(block, 0, blockBytes, at)
      if (bytesRead === 0) break
      hash.update(block.subarray(0, bytesRead))
      at += bytesRead
    }
  } catch (error) {
    throw error instanceof DpmError ? error : readFailure(path, error, 'archive')
  } finally {
    await file.close()
  }
  const sha256 = hash.digest('hex')
  return {
    sha256,
    sizeBytes,
    known: Object.values(wheelFiles)
      .flat()
      .find((one) => one.sha256 === sha256),
    async requireUnchanged() {
      if ((await stamp(path)) === before) return
      throw new DpmError(
        'DPM_FILE_INVALID',
        `${path} was changed while it was unpacked. Nothing is installed; begin again.`,
      )
    },
  }
}

/** Another for every write to the file, and for every other file of its name. */
async function stamp(path: string): Promise<string> {
  const { file } = await openRegularFile(path, 'archive')
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } finally {
    await file.close()
  }
}

/** @throws DpmError DPM_FILE_INVALID naming both sums. */
export function requireSum(path: string, found: Pick<Identity, 'sha256'>, wanted: readonly string[]): void {
  if (wanted.includes(found.sha256)) return
  throw new DpmError(
    'DPM_FILE_INVALID',
    `Expected ${wanted.length > 1 ? 'one of the SHA-256' : 'the SHA-256'} ${wanted.join(', ')} for ${basename(path)} but it has ` +
      `${found.sha256}: it is not the file that was meant, or was changed on its way. Nothing of it is installed.`,
    { details: { path, sha256: found.sha256, wanted } },
  )
}
