/**
 * Models of openai/guided-diffusion (ADM: Dhariwal and Nichol 2021, arXiv 2105.05233). Its released models resample inside
 * residual blocks; one without that cannot be told from improved-diffusion's, and must be named with `--format`.
 */
import * as z from 'zod'
import { defineImport } from './define-import.js'
import type { ImportSource } from './import-source.js'
import { openaiOptions, readOpenaiModel } from './openai.js'
import { anyOpenaiWeights, openaiNames } from './openai-files.js'
import { readOpenaiUnet } from './openai-unet.js'

/** script_util.py, `create_model`. */
const imageSizes = { '1,2,3,4': 64, '1,1,2,3,4': 128, '1,1,2,2,4,4': 256, '0.5,1,1,2,2,4,4': 512 }

export const guidedDiffusion = defineImport({
  name: 'guided-diffusion',
  description:
    'state dicts of openai/guided-diffusion (ADM): *_diffusion.pt, model*.pt, ema_*.pt, or the folder of them',
  options: z.strictObject({
    ...openaiOptions,
    headLayout: z
      .enum(['split', 'interleaved'])
      .optional()
      .describe('split with --use_new_attention_order True (64x64_diffusion.pt), else interleaved'),
    rescaledTimes: z.boolean().default(false).describe('--rescale_timesteps'),
  }),
  recognises: isGuidedDiffusion,
  read: (source, options) => {
    const { headLayout, rescaledTimes } = options
    return readOpenaiModel(source, options, { imageSizes, headLayout, rescaledTimes })
  },
})

/** Whether it is surely one of these. */
export async function isGuidedDiffusion(source: ImportSource): Promise<boolean> {
  const weights = await anyOpenaiWeights(source, openaiNames)
  return weights !== undefined && readOpenaiUnet(weights, source.path).resampling === 'residual'
}
