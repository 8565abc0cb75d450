/** Opens a file of weights by what it begins with; its name says nothing about it. */
import { DpmError } from '../../errors.js'
import { readFailure } from '../../files/file-failure.js'
import { openRegularFile } from '../../files/regular-file.js'
import { beginning, fileKind, startBytes } from './file-kind.js'
import { openSafetensorsArchive } from './safetensors-archive.js'
import type { TensorArchive } from './tensor-archive.js'
import { legacyStart, openTorchLegacy } from './torch-legacy-archive.js'
import { openTorchZip } from './torch-zip-archive.js'

interface ArchiveFormat {
  readonly name: string
  /** @param start the file's first bytes, fewer where it is shorter. */
  recognises(start: Buffer): boolean
  open(path: string): Promise<TensorArchive>
}

/** Every format. A new one is a file beside this one and an entry here. */
const formats: readonly ArchiveFormat[] = [
  {
    name: 'PyTorch (.pt, .pth, .bin)',
    recognises: (start) => start.toString('latin1', 0, 4) === 'PK\x03\x04',
    open: openTorchZip,
  },
  {
    name: 'PyTorch before 1.6',
    recognises: (start) => start.subarray(0, legacyStart.length).equals(legacyStart),
    open: openTorchLegacy,
  },
  {
    name: 'safetensors',
    // The header's length, of which the format allows 100 MB, and its opening brace; also a length beyond that, so
    // that the error says so.
    recognises: (start) => start[8] === 0x7b && (start.readUInt32LE(4) === 0 || fileKind(start) === undefined),
    open: openSafetensorsArchive,
  },
]

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID saying what it is instead, and the cure. */
export async function openArchive(path: string): Promise<TensorArchive> {
  const start = await firstBytes(path)
  const format = formats.find((one) => one.recognises(start))
  if (format) return format.open(path)
  const kind = fileKind(start)
  const what = kind
    ? `it is ${kind.name}. ${kind.cure} dpm-torch reads`
    : `it begins with ${beginning(start)}. It reads`
  throw new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} is no file of weights that dpm-torch can read: ${what} ${formats.map(({ name }) => name).join(', ')}.`,
    { details: { path, ...(kind ? { kind: kind.name } : {}) } },
  )
}

/** What a file is, where it is no safetensors file: weights of PyTorch, or something else. Undefined for what is not known. */
export async function foreignKind(
  path: string,
): Promise<{ readonly name: string; readonly isWeights: boolean } | undefined> {
  const start = await firstBytes(path)
  const format = formats.find((one) => one.recognises(start))
  if (format)
    return format.open === openSafetensorsArchive ? undefined : { name: `weights of ${format.name}`, isWeights: true }
  const kind = fileKind(start)
  return kind && { name: `${kind.name}. ${kind.cure}`, isWeights: false }
}

async function firstBytes(path: string): Promise<Buffer> {
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
