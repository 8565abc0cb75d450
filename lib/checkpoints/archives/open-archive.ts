/** Opens a file of weights by what it begins with; its name says nothing about it. */
import { DpmError } from '../../errors.js'
import { beginning, fileKind, isSafetensors, isTorchLegacy, isTorchZip } from './file-kind.js'
import { firstBytes } from './foreign-kind.js'
import { openSafetensorsArchive } from './safetensors-archive.js'
import type { TensorArchive } from './tensor-archive.js'
import { openTorchLegacy } from './torch-legacy-archive.js'
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
    recognises: isTorchZip,
    open: openTorchZip,
  },
  {
    name: 'PyTorch before 1.6',
    recognises: isTorchLegacy,
    open: openTorchLegacy,
  },
  {
    name: 'safetensors',
    recognises: isSafetensors,
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
