/** The weights in a folder of diffusers: one file, or an index of several. */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { parseOptions } from '../../options/options.js'
import type { ArchiveTensor, TensorArchive, Weights } from '../archives/tensor-archive.js'
import type { ImportSource } from './import-source.js'

const stem = 'diffusion_pytorch_model'
/** In the order in which diffusers looks. */
const endings = ['safetensors', 'bin'] as const

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) })

/**
 * @param place the folder in the source, with a slash behind it; empty for the source itself
 * @throws DpmError DPM_FILE_MISSING naming what was looked for, DPM_FILE_INVALID
 */
export async function diffusersWeights(source: ImportSource, place: string): Promise<Weights> {
  for (const ending of endings) {
    const archive = await existing(source, `${place}${stem}.${ending}`)
    if (archive) return archive.tensors
    const indexName = `${place}${stem}.${ending}.index.json`
    const index = await source.json(indexName)
    if (index !== undefined) {
      return shards(source, place, parseOptions(indexSchema, index, `${source.path}/${indexName}`).weight_map)
    }
  }
  const names = endings.flatMap((ending) => [`${stem}.${ending}`, `${stem}.${ending}.index.json`])
  throw new DpmError(
    'DPM_FILE_MISSING',
    `There are no weights in ${JSON.stringify(`${source.path}/${place}`)}: none of ${names.join(', ')}.`,
    { details: { path: source.path } },
  )
}

async function existing(source: ImportSource, name: string): Promise<TensorArchive | undefined> {
  try {
    return await source.archive(name)
  } catch (error) {
    if (error instanceof DpmError && error.code === 'DPM_FILE_MISSING') return undefined
    throw error
  }
}

async function shards(
  source: ImportSource,
  place: string,
  files: Readonly<Record<string, string>>,
): Promise<ReadonlyMap<string, ArchiveTensor>> {
  const found = new Map<string, ArchiveTensor>()
  for (const [name, file] of Object.entries(files)) {
    const archive = await source.archive(`${place}${file}`)
    const tensor = archive.tensors.get(name)
    if (!tensor) {
      throw new DpmError(
        'DPM_FILE_INVALID',
        `The index of ${JSON.stringify(source.path)} says that ${name} is in ${file}, which has none.`,
        {
          details: { path: archive.path, name },
        },
      )
    }
    found.set(name, tensor)
  }
  return found
}
