/** Every format that a model can be written in. A new one is a file beside this one and a line here. */
import type { ExportDefinition } from './define-export.js'
import { diffusers } from './diffusers.js'
import { plainSafetensors } from './plain-safetensors.js'

export const exporters = { safetensors: plainSafetensors, diffusers } as const satisfies Record<
  string,
  ExportDefinition
>
