/** A safetensors file as an archive; its values are the metadata. */
import { SafetensorsFile } from '../safetensors.js'
import type { ArchiveTensor, TensorArchive } from './tensor-archive.js'

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID */
export async function openSafetensorsArchive(path: string): Promise<TensorArchive> {
  const file = await SafetensorsFile.open(path)
  const tensors = [...file.tensors].map(([name, { dtype, shape }]): [string, ArchiveTensor] => [
    name,
    { name, dtype, shape, read: () => file.readTensor(name) },
  ])
  return {
    path,
    format: 'safetensors',
    tensors: new Map(tensors),
    values: file.metadata,
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  }
}
