/**
 * A classifier of noisy images: the way down of a U-Net, and a pool that makes of it a logit for each class of the data
 * (Dhariwal and Nichol 2021, arXiv 2105.05233, §4 and appendix C; `EncoderUNetModel` of their code). It denoises nothing: it is
 * trained with the loss "cross-entropy", and guides the sampling of another model (`NoisyClassifier`).
 *
 * Pools, of h behind the middle:
 *
 * - `adaptive`: the mean over positions of silu(norm(h)), a linear map
 * - `attention`: to the positions of silu(norm(h)) their mean is added in front, to each a learned vector; the mean attends to all,
 *   a linear map (after CLIP: Radford et al. 2021, arXiv 2103.00020)
 * - `spatial`, `spatial_v2`: the means over positions of what every block and resampling gives, through 2048 hidden units with ReLU,
 *   or with a norm and SiLU
 *
 * The public ones have 128 channels, heads of 64, attention at 32, 16 and 8, and the pool `attention`:
 *
 *     image   multipliers      blocks   parameters
 *     64      1,2,3,4          4        65,438,568
 *     128     1,1,2,3,4        2        42,568,040
 *     256     1,1,2,2,4,4      2        54,096,360
 *     512     0.5,1,1,2,2,4,4  2        54,448,360
 *
 * Parameter names: `time`, `input`, `down` and `middle` as those of `unet`; `pool.{norm,out}` (adaptive), `pool.{norm,positions,qkv,out}`
 * (attention), `pool.{in,out}` (spatial), `pool.{in,norm,out}` (spatial_v2); each with `.weight` and `.bias`, but for `pool.positions`, which
 * is C×(1 + positions). Rows of `pool.qkv` are all q, all k, all v.
 */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError } from '../errors.js'
import type { NativeSettings } from '../native/binding.js'
import { defineOptions } from '../options/options.js'
import { dataShape, unconditionalOptions } from './conditioning.js'
import { initializationSchema } from './initialization.js'
import type { NetworkDefinition } from './network-definition.js'
import { unet } from './unet.js'
import { requireGroups, requireHalvable, requireHeads, requireSinusoids, widthOf } from './unet-widths.js'

/** Options that mean and default to the same as those of `unet`. */
const shared = unet.schema.pick({
  inputMultiplier: true,
  blocks: true,
  heads: true,
  skipScale: true,
  groups: true,
  minimumGroupChannels: true,
  dropout: true,
  zeroLayers: true,
}).shape

const encoderUnetSchema = z.strictObject({
  kind: z.literal('encoder-unet'),
  channels: z.int().min(1).default(128).describe('channels of the first level'),
  multipliers: z
    .array(z.number().positive())
    .min(1)
    .max(8)
    .default([1, 2, 3, 4])
    .describe('channels of each level, as multiples'),
  attentionResolutions: z
    .array(z.int().min(1))
    .default([32, 16, 8])
    .describe('image heights at which blocks are followed by attention'),
  pool: z
    .enum(['adaptive', 'attention', 'spatial', 'spatial_v2'])
    .default('attention')
    .describe(
      'how features become logits: their mean; by attention; the means of every block through ReLU, or a norm and SiLU',
    ),
  headChannels: z
    .int()
    .min(1)
    .nullable()
    .default(64)
    .describe('channels per attention head, those of the pool too; null: as many as `heads` says'),
  headLayout: z
    .enum(['split', 'interleaved'])
    .default('split')
    .describe('qkv rows of the blocks: all q, all k, all v, or q, k, v head by head (the public classifiers)'),
  timeEmbedding: z
    .enum(['ddpm', 'improved', 'wavegrad'])
    .default('improved')
    .describe('sinusoids of the time label, as those of `unet`'),
  downsamplePadding: z
    .enum(['asymmetric', 'symmetric'])
    .default('symmetric')
    .describe('a stride-2 convolution pads right and bottom, or all sides'),
  resampling: z
    .enum(['convolution', 'pool', 'residual'])
    .default('residual')
    .describe('convolution: strided; pool: average; residual: inside a residual block (ADM)'),
  scaleShift: z.boolean().default(true).describe('time enters as scale and shift of the second norm instead of a sum'),
  groupEpsilon: z.number().positive().default(1e-5).describe('GroupNorm epsilon'),
  initialization: initializationSchema
    .default('torch')
    .describe('torch: the defaults of PyTorch layers; or another law'),
  ...shared,
  ...unconditionalOptions,
})

export type EncoderUnetSettings = z.output<typeof encoderUnetSchema>
export type EncoderUnetOptions = z.input<typeof encoderUnetSchema>

export const encoderUnet: NetworkDefinition<EncoderUnetSettings> & { readonly schema: typeof encoderUnetSchema } = {
  name: 'encoder-unet',
  schema: encoderUnetSchema,
  options: defineOptions('encoder-unet', encoderUnetSchema),
  gives: 'logits',
  native: encoderUnetNative,
}

/** Hidden units of the spatial pools. */
const hidden = 2048

function encoderUnetNative(
  settings: EncoderUnetSettings,
  image: ImageShape,
  classes: number,
  outputs: 1 | 2 = 1,
): NativeSettings {
  const { channels, multipliers, groups, minimumGroupChannels, heads, headChannels, pool } = settings
  if (classes < 2) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The network "encoder-unet" is a classifier: it needs data of at least 2 classes to tell apart, and this has ${classes}. Choose data with classes, or another network.`,
    )
  }
  if (outputs === 2) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      'The network "encoder-unet" is a classifier, which has no variance to learn. Set `diffusion.variance` to "fixed-small" or "fixed-large".',
    )
  }
  requireHalvable(image, multipliers.length)
  requireSinusoids(channels, settings.timeEmbedding === 'ddpm')
  const widths = multipliers.map((multiplier) => widthOf(channels, multiplier, 'multipliers'))
  const inputWidth = widthOf(channels, settings.inputMultiplier, 'inputMultiplier')
  requireGroups([inputWidth, ...widths, ...(pool === 'spatial_v2' ? [hidden] : [])], groups, minimumGroupChannels)
  const attending = widths.filter((_, level) => settings.attentionResolutions.includes(image.height / 2 ** level))
  requireHeads([...attending, widths.at(-1) ?? channels], heads, headChannels)
  return {
    ...settings,
    widths,
    inputWidth,
    headChannels: headChannels ?? 0,
    middleAttention: true,
    // What only the way up, classes and the input of other models have.
    decoderAttention: 'every',
    nullClassEmbedding: 'learned',
    augmentLabels: 0,
    fourierFeatures: [],
    ...dataShape(settings, image, 0),
    outputChannels: classes,
  }
}
