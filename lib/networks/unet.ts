/**
 * The U-Net of Ho et al. 2020 (arXiv 2006.11239) and of those who followed: one skeleton, every place where the public
 * implementations differ is a named setting.
 *
 * Skeleton: input convolution; per level `blocks` residual blocks (with attention at the chosen resolutions), then a
 * downsampling except at the last; a middle of block, attention, block; the way up with `blocks + 1` blocks per level
 * that read the skips; GroupNorm, SiLU, convolution.
 *
 * Parameter names: `time.in`, `time.out`, `classes`, `input`, `down.L.blocks.I.{norm1,conv1,time,norm2,conv2,shortcut}`,
 * `down.L.attentions.I.{norm,qkv,out}`, `down.L.resample`, `middle.{block1,attention,block2}`, `up.L.…` as `down.L.…`,
 * `output.{norm,conv}`; each with `.weight` and `.bias`. `qkv` is 3C×C, convolutions are O×I×H×W.
 *
 * The public names of the same parameters, which `test/fixtures/public_networks.py` walks through:
 * - improved and guided diffusion: `time_embed.{0,2}`, `label_emb`, `input_blocks.0.0`; then `input_blocks`, `middle_block` and
 *   `output_blocks` in the order of their running, a block (and its attention, and on the way up its resampling) in each; `out.{0,2}`.
 *   In a block `in_layers.{0,2}`, `emb_layers.1`, `out_layers.{0,3}`, `skip_connection`; in an attention `norm`, `qkv`, `proj_out`.
 * - EDM's DhariwalUNet: `map_layer{0,1}`, `map_augment`, `map_label` (transposed: `classes` has a row per class), `enc.NxN_conv`,
 *   `{enc,dec}.NxN_{blockI,in0,in1}`, `enc.NxN_down` and `dec.NxN_up` (ours belong to the level they come from), `out_{norm,conv}`. In a
 *   block `norm0`, `conv0`, `affine`, `norm1`, `conv1`, `skip`, and of its attention `norm2`, `qkv`, `proj`, whose rows are channel
 *   by channel q, k, v.
 * - score-SDE's `ddpm`: `all_modules` in the order of their running; `GroupNorm_N`, `Conv_N`, `Dense_0`, `NIN_N` (transposed).
 */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import type { NativeSettings } from '../native/binding.js'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import { initializationSchema } from './initialization.js'
import type { NetworkDefinition } from './network-definition.js'
import { normWidths, requireGroups, requireHalvable, requireHeads, requireSinusoids, widthOf } from './unet-widths.js'

const unetSchema = z.strictObject({
  kind: z.literal('unet'),
  channels: z.int().min(1).default(64).describe('channels of the first level'),
  multipliers: z
    .array(z.number().positive())
    .min(1)
    .max(8)
    .default([1, 2, 2])
    .describe('channels of each level, as multiples'),
  inputMultiplier: z
    .number()
    .positive()
    .default(1)
    .describe('channels of the first convolution, as a multiple: 1, or that of the first level (guided diffusion)'),
  blocks: z
    .int()
    .min(1)
    .max(64)
    .default(2)
    .describe('residual blocks per level on the way down; one more on the way up'),
  attentionResolutions: z
    .array(z.int().min(1))
    .default([16])
    .describe('image heights at which blocks are followed by attention'),
  decoderAttention: z
    .enum(['every', 'last'])
    .default('every')
    .describe('attention on the way up after every block of a level (DDPM) or after its last (score-SDE)'),
  middleAttention: z.boolean().default(true).describe('attention between the two middle blocks'),
  heads: z.int().min(1).default(1).describe('attention heads; ignored when headChannels is set'),
  headChannels: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe('channels per attention head, instead of a number of heads'),
  headLayout: z
    .enum(['split', 'interleaved'])
    .default('split')
    .describe(
      'qkv rows: all q, all k, all v (split: DDPM, guided diffusion new order, diffusers) or q, k, v head by head (interleaved: improved diffusion)',
    ),
  timeEmbedding: z
    .enum(['ddpm', 'improved', 'wavegrad'])
    .default('ddpm')
    .describe(
      'ddpm: [sin, cos], 1e4^(-i/(half-1)); improved: [cos, sin], 1e4^(-i/half); wavegrad: [sin, cos], 5000 t 1e4^(-i/half)',
    ),
  downsamplePadding: z
    .enum(['asymmetric', 'symmetric'])
    .default('asymmetric')
    .describe("stride-2 convolution pads right and bottom (TensorFlow 'same', DDPM) or all sides (PyTorch ports)"),
  resampling: z
    .enum(['convolution', 'pool', 'residual'])
    .default('convolution')
    .describe(
      'convolution: strided / nearest + convolution; pool: average / nearest; residual: inside a residual block (ADM)',
    ),
  fourierFeatures: z
    .array(z.int().min(0).max(12))
    .max(8)
    .default([])
    .describe('n for which sine and cosine of 2π 2^n x are further channels of the input (VDM: 6 and 7)'),
  scaleShift: z
    .boolean()
    .default(false)
    .describe('time enters as scale and shift of the second norm (improved DDPM) instead of a sum'),
  skipScale: z.number().positive().default(1).describe('factor on every residual sum; sqrt(0.5) in DDPM++'),
  groups: z.int().min(1).default(32).describe('GroupNorm groups'),
  minimumGroupChannels: z
    .int()
    .min(1)
    .default(1)
    .describe('fewer groups where a group would have fewer channels than this (EDM: 4)'),
  groupEpsilon: z
    .number()
    .positive()
    .default(1e-6)
    .describe('GroupNorm epsilon: 1e-6 DDPM, 1e-5 improved DDPM and diffusers'),
  dropout: z.number().min(0).lt(1).default(0).describe('dropout between SiLU and the second convolution of a block'),
  initialization: initializationSchema
    .default('ddpm')
    .describe('ddpm: variance scaling, fan average, uniform; torch: the defaults of PyTorch layers; or another law'),
  zeroLayers: z
    .enum(['zero', 'tiny', 'none'])
    .default('zero')
    .describe(
      'last convolution of blocks, of attention and of the network: zero, scale 1e-10 (DDPM) or like the others',
    ),
  augmentLabels: z
    .int()
    .min(0)
    .max(64)
    .default(0)
    .describe('numbers that say how an image was augmented (EDM: 9); always 0, kept so that published weights fit'),
  nullClassEmbedding: z
    .enum(['learned', 'zero'])
    .default('learned')
    .describe('what "no class" adds to the time embedding: a row of its own, or nothing (EDM)'),
  ...conditioningOptions,
})

export type UnetSettings = z.output<typeof unetSchema>
export type UnetOptions = z.input<typeof unetSchema>

export const unet: NetworkDefinition<UnetSettings> & { readonly schema: typeof unetSchema } = {
  name: 'unet',
  schema: unetSchema,
  options: defineOptions('unet', unetSchema),
  native: unetNative,
}

function unetNative(settings: UnetSettings, image: ImageShape, classes: number, outputs: 1 | 2 = 1): NativeSettings {
  const { channels, multipliers, blocks, groups, minimumGroupChannels, heads, headChannels } = settings
  requireHalvable(image, multipliers.length)
  requireSinusoids(channels, settings.timeEmbedding === 'ddpm')
  const widths = multipliers.map((multiplier) => widthOf(channels, multiplier, 'multipliers'))
  const inputWidth = widthOf(channels, settings.inputMultiplier, 'inputMultiplier')
  requireGroups(normWidths({ input: inputWidth, widths, blocks }), groups, minimumGroupChannels)
  const attending = widths.filter((_, level) => settings.attentionResolutions.includes(image.height / 2 ** level))
  if (settings.middleAttention) attending.push(widths.at(-1) ?? channels)
  requireHeads(attending, heads, headChannels)
  return {
    ...settings,
    widths,
    inputWidth,
    headChannels: headChannels ?? 0,
    ...dataShape(settings, image, classes, outputs),
  }
}
