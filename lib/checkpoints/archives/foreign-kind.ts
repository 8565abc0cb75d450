/** What a file is that was given as a checkpoint: told without opening it as anything, so that little is loaded. */
import { readFailure } from '../../files/file-failure.js'
import { openRegularFile } from '../../files/regular-file.js'
import { fileKind, isSafetensors, isTorchLegacy, isTorchZip, startBytes } from './file-kind.js'

export interface ForeignKind {
  /** After "it is". */
  readonly name: string
  readonly isWeights: boolean
}

/** Weights of PyTorch, or something else; undefined for a file of safetensors, and for what is not known. */
export async function foreignKind(path: string): Promise<ForeignKind | undefined> {
  const start = await firstBytes(path)
  if (isTorchZip(start) || isTorchLegacy(start)) return { name: 'weights of PyTorch', isWeights: true }
  if (isSafetensors(start)) return undefined
  const kind = fileKind(start)
  return kind && { name: `${kind.name}. ${kind.cure}`, isWeights: false }
}

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID */
export async function firstBytes(path: string): Promise<Buffer> {
  const { file } = await openRegularFile(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(startBytes), 0, startBytes, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    throw readFailure(path, error)
  } finally {
    await file.close()
  }
}
