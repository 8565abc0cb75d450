/** Every format that can be imported. A new one is a file beside this one and a line here; the first that recognises a source reads it. */

import { contextUnet } from './context-unet.js'
import type { ImportDefinition } from './define-import.js'
import { denoisingDiffusionPytorch } from './denoising-diffusion-pytorch.js'
import { diffusers } from './diffusers.js'
import { edm } from './edm.js'
import { guidedDiffusion } from './guided-diffusion.js'
import { guidedDiffusionClassifier } from './guided-diffusion-classifier.js'
import { improvedDiffusion } from './improved-diffusion.js'
import { ncsn } from './ncsn.js'
import { parameters } from './parameters.js'
import { scoreSde } from './score-sde.js'

export const importers = {
  parameters,
  'guided-diffusion': guidedDiffusion,
  'guided-diffusion-classifier': guidedDiffusionClassifier,
  'improved-diffusion': improvedDiffusion,
  'score-sde': scoreSde,
  ncsn,
  edm,
  'context-unet': contextUnet,
  'denoising-diffusion-pytorch': denoisingDiffusionPytorch,
  diffusers,
} as const satisfies Record<string, ImportDefinition>
