/**
 * Models of openai/improved-diffusion (Nichol and Dhariwal 2021, arXiv 2102.09672): times are told as 1000 t / T, and q, k and v
 * are packed head by head.
 */
import * as z from 'zod'
import { defineImport } from './define-import.js'
import { isGuidedDiffusion } from './guided-diffusion.js'
import { openaiOptions, readOpenaiModel } from './openai.js'
import { anyOpenaiWeights, openaiNames } from './openai-files.js'

/** script_util.py, `create_model`. */
const imageSizes = { '1,2,2,2': 32, '1,2,3,4': 64, '1,1,2,2,4,4': 256 }

export const improvedDiffusion = defineImport({
  name: 'improved-diffusion',
  description: 'state dicts of openai/improved-diffusion: model*.pt, ema_*.pt, or the folder of both',
  options: z.strictObject({
    ...openaiOptions,
    rescaledTimes: z.boolean().default(true).describe('--rescale_timesteps'),
  }),
  recognises: async (source) =>
    (await anyOpenaiWeights(source, openaiNames)) !== undefined && !(await isGuidedDiffusion(source)),
  read: (source, options) =>
    readOpenaiModel(source, options, {
      imageSizes,
      headLayout: 'interleaved',
      rescaledTimes: options.rescaledTimes,
    }),
})
