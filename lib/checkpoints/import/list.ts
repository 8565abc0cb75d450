/** Every format that can be imported. A new one is a file beside this one and a line here; the first that recognises a source reads it. */
import type { ImportDefinition } from './define-import.js'
import { guidedDiffusion } from './guided-diffusion.js'
import { improvedDiffusion } from './improved-diffusion.js'
import { parameters } from './parameters.js'

export const importers = {
  parameters,
  'guided-diffusion': guidedDiffusion,
  'improved-diffusion': improvedDiffusion,
} as const satisfies Record<string, ImportDefinition>
