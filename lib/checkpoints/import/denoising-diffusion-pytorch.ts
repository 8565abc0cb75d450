/**
 * Milestones of lucidrains/denoising-diffusion-pytorch (`model-NN.pt`: `step`, `model`, `ema`). Its U-Net has changed from version to
 * version, and none of them is a `unet` of ours: they are recognised, and refused by the first thing that differs.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { under, type Weights } from '../archives/tensor-archive.js'
import { defineImport } from './define-import.js'

const start = /^model\.(?:model\.)?init_conv\.weight$/

export const denoisingDiffusionPytorch = defineImport({
  name: 'denoising-diffusion-pytorch',
  description:
    'milestones of lucidrains/denoising-diffusion-pytorch: recognised, and refused by what its network has that ours lacks',
  options: z.strictObject({}),
  async recognises(source) {
    if (source.isFolder) return false
    return [...(await source.archive()).tensors.keys()].some((name) => start.test(name))
  },
  async read(source) {
    const { tensors } = await source.archive()
    const weights = under(
      tensors,
      [...tensors.keys()].find((name) => start.test(name))?.replace(/init_conv\.weight$/, '') ?? '',
    )
    const difference = differences.find(({ is }) => is(weights))?.text ?? 'its blocks convolve before they normalise'
    throw new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(source.path)} is a milestone of denoising-diffusion-pytorch, whose network none of ours can express: ` +
        `${difference}. Export it from Python as TorchScript, and open that with \`Network.fromTorchScript\`.`,
      { details: { path: source.path } },
    )
  },
})

interface Difference {
  readonly text: string
  is(weights: Weights): boolean
}

const has = (weights: Weights, pattern: RegExp): boolean => [...weights.keys()].some((name) => pattern.test(name))

/** In the order of the network. */
const differences: readonly Difference[] = [
  { text: 'its first convolution is 7×7, ours 3×3', is: (weights) => weights.get('init_conv.weight')?.shape[2] === 7 },
  { text: 'its time embedding has random or learned frequencies', is: (weights) => weights.has('time_mlp.0.weights') },
  { text: 'its norms are RMSNorm, ours GroupNorm', is: (weights) => has(weights, /\.block1\.norm\.g$/) },
  { text: 'its attention has memory keys and values', is: (weights) => has(weights, /\.mem_kv$/) },
  { text: 'its attention is linear', is: (weights) => has(weights, /^downs\.0\.2\..*to_qkv\.weight$/) },
]
