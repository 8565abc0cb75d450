/**
 * Tensors that already have our parameters' names: what `dpm-torch export --format safetensors` writes (its metadata has
 * the settings), or a file made elsewhere, whose settings are then given with `--set network.kind=…`.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import type { TensorArchive } from '../archives/tensor-archive.js'
import { defineImport, type ImportedModel } from './define-import.js'
import { from } from './pieces.js'

const storedSchema = z.looseObject({
  network: z.record(z.string(), z.unknown()).default({}),
  diffusion: z.record(z.string(), z.unknown()).default({}),
})

export const parameters = defineImport({
  name: 'parameters',
  description: "tensors under dpm-torch's own parameter names, as `dpm-torch export --format safetensors` writes them",
  options: z.strictObject({}),
  async recognises(source) {
    return !source.isFolder && (await source.archive()).values.get('format') === 'dpm-torch-parameters'
  },
  async read(source) {
    const archive = await source.archive()
    const model = {
      ...storedSchema.parse(storedJson(archive, 'model', {})),
      image: storedJson(archive, 'image', {}),
      classes: storedJson(archive, 'classes', []),
      step: storedJson(archive, 'step', 0),
      trained: archive.tensors,
      piece: ({ name }) => from(name),
      // Whoever imports holds all of it to the schemas, together with what `--set` says.
    } as ImportedModel
    return model
  },
})

function storedJson(archive: TensorArchive, name: string, fallback: unknown): unknown {
  const text = archive.values.get(name)
  if (text === undefined) return fallback
  try {
    return JSON.parse(String(text)) as unknown
  } catch (cause) {
    throw new DpmError('DPM_FILE_INVALID', `The metadata "${name}" of ${JSON.stringify(archive.path)} is no JSON.`, {
      cause,
    })
  }
}
