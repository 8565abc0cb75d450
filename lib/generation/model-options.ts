/** What makes a model, apart from its weights: the network, the diffusion process, and the arithmetic it was trained in. */
import * as z from 'zod'
import { diffusionSchema } from '../diffusion/diffusion-options.js'
import { precisions } from '../native/device.js'
import { networkSchema } from '../networks/list.js'
import { samplingSchema } from '../sampling/sampling-defaults.js'
import { conditionSchema } from './conditions/list.js'

/** Of a run's settings these are a part; the rest (data, training, budget …) is dropped. */
export const modelSchema = z.object({
  network: networkSchema,
  diffusion: diffusionSchema.prefault({}),
  condition: conditionSchema
    .prefault('none')
    .describe('what the network sees beside x: nothing, or the image at a lower resolution (super-resolution)'),
  sampling: samplingSchema.prefault({}).describe('how images are drawn where a call does not say'),
  precision: z.enum(precisions).default('float32').describe('arithmetic of convolutions and matrix products'),
})
export type ModelSettings = z.output<typeof modelSchema>
