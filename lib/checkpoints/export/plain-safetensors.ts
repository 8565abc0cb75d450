/**
 * One safetensors file with one copy of the weights under our parameters' own names; its metadata holds what makes the model,
 * so that `dpm-torch import` reads it back.
 */
import type { CheckpointTensor } from '../checkpoint.js'
import { writeSafetensors } from '../safetensors.js'
import { defineExport } from './define-export.js'

export const plainSafetensors = defineExport({
  name: 'safetensors',
  description: 'one file of weights under their own names, the settings in its metadata',
  makes: 'file',
  async write({ checkpoint, weights, out }) {
    const { settings, image, classes, step } = checkpoint
    const { network, diffusion, condition, precision } = settings
    const sources = checkpoint.names(weights).map((name) => ({
      name: name.slice(weights.length + 1),
      dtype: 'F32' as const,
      shape: checkpoint.info(name)?.shape ?? [],
      read: (): ReturnType<CheckpointTensor['read']> => checkpoint.read(name),
    }))
    await writeSafetensors(out, sources, {
      format: 'dpm-torch-parameters',
      model: JSON.stringify({ network, diffusion, condition, precision }),
      image: JSON.stringify(image),
      classes: JSON.stringify(classes),
      step: JSON.stringify(step),
    })
    return { paths: [out] }
  },
})
