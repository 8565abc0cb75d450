/**
 * The U-Net of the PyPI package denoising-diffusion-pytorch: attention at every level, most of it linear in the positions (Shen et
 * al. 2018, arXiv 1812.01243), with learned keys and values beside the image's own, and norms behind the convolutions.
 *
 * Skeleton: 7×7 convolution; per level two blocks, the second followed by attention, then a convolution of stride 2, or at the
 * last 3×3; block, full attention, block; from the coarsest level two blocks that read the level's two skips, attention,
 * nearest doubling and 3×3 convolution, at the first only that; a block over this beside the first convolution's result; 1×1.
 * A block is shortcut + (convolution, norm, SiLU) twice; the embedding's SiLU gives scale and shift of the first norm. The time is
 * linear, GELU, linear of its features; a class, the same of a row of a table, stands beside it.
 *
 *     version of the package        norm   memory  halvingKernel
 *     2.x                           rms    4       2
 *     1.9                           group  4       2
 *     1.8                           group  0       2
 *     classifier_free_guidance.py   rms    0       4
 *
 * Parameter names: `time.{frequencies,in,out}`, `classes`, `classes.{in,out}`, `input`, `down.L.blocks.I.{conv1,norm1,time,conv2,norm2,
 * shortcut}`, `down.L.attention.{norm,memory,qkv,out,outNorm}`, `down.L.resample`, `middle.{block1,attention,block2}`, `up.L.…` as
 * `down.L.…`, `output.{block,conv}`. `memory` is 2×heads×memory×channels of a head; rows of `qkv` are all q, all k, all v; a `resample`
 * of stride 2 is O×I×2×2, row and column in the place of the package's pixel-unshuffle.
 */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError } from '../errors.js'
import type { NativeSettings } from '../native/binding.js'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import { initializationSchema } from './initialization.js'
import type { NetworkDefinition } from './network-definition.js'
import { requireGroups, requireHalvable, requireSinusoids, widthOf } from './unet-widths.js'

const perLevel = z.array(z.int().min(1).max(65_536)).min(1).max(8)

const linearAttentionUnetSchema = z.strictObject({
  kind: z.literal('linear-attention-unet'),
  channels: z.int().min(1).default(64).describe('channels that the multipliers multiply'),
  multipliers: z
    .array(z.number().positive())
    .min(1)
    .max(8)
    .default([1, 2, 4, 8])
    .describe('channels behind each level, as multiples'),
  inputMultiplier: z.number().positive().default(1).describe('channels of the first convolution, as a multiple'),
  fullAttention: z
    .array(z.boolean())
    .min(1)
    .max(8)
    .nullable()
    .default(null)
    .describe('for each level whether its attention is full instead of linear; null: at the last alone'),
  heads: perLevel.default([4]).describe("attention heads, of all levels or of each; the middle has the last level's"),
  headChannels: perLevel.default([32]).describe('channels of an attention head, of all levels or of each'),
  memory: z.int().min(0).max(1024).default(4).describe('learned keys and values of each attention head'),
  norm: z
    .enum(['rms', 'group'])
    .default('rms')
    .describe("norm behind a block's convolutions: root mean square over the channels, or GroupNorm (epsilon 1e-5)"),
  groups: z.int().min(1).default(8).describe('GroupNorm groups; unread with norm rms'),
  halvingKernel: z
    .union([z.literal(2), z.literal(4)])
    .default(2)
    .describe('kernel of the convolutions of stride 2: 2 (pixel-unshuffle and 1×1) or 4, padded by 1'),
  timeEmbedding: z
    .enum(['sinusoidal', 'learned', 'random'])
    .default('sinusoidal')
    .describe(
      'of label t: [sin, cos] of theta^(-i/(half-1)) t; or t, sin and cos of 2π f t with frequencies f that are learned, or stay as drawn',
    ),
  timeTheta: z.number().gt(1).default(10_000).describe('theta of the sinusoids'),
  timeFeatures: z
    .int()
    .min(2)
    .max(65_536)
    .multipleOf(2)
    .default(16)
    .describe('sines and cosines of learned or random frequencies together'),
  dropout: z.number().min(0).lt(1).default(0).describe('dropout before the second convolution of a block'),
  initialization: initializationSchema.default('torch').describe('how convolutions and linear layers start'),
  ...conditioningOptions,
})

export type LinearAttentionUnetSettings = z.output<typeof linearAttentionUnetSchema>
export type LinearAttentionUnetOptions = z.input<typeof linearAttentionUnetSchema>

export const linearAttentionUnet: NetworkDefinition<LinearAttentionUnetSettings> & {
  readonly schema: typeof linearAttentionUnetSchema
} = {
  name: 'linear-attention-unet',
  schema: linearAttentionUnetSchema,
  options: defineOptions('linear-attention-unet', linearAttentionUnetSchema),
  native: linearAttentionUnetNative,
}

function linearAttentionUnetNative(
  settings: LinearAttentionUnetSettings,
  image: ImageShape,
  classes: number,
  outputs: 1 | 2 = 1,
): NativeSettings {
  const { channels, multipliers, norm, groups } = settings
  const levels = multipliers.length
  requireHalvable(image, levels)
  if (settings.timeEmbedding === 'sinusoidal') requireSinusoids(channels, true)
  const widths = multipliers.map((multiplier) => widthOf(channels, multiplier, 'multipliers'))
  const inputWidth = widthOf(channels, settings.inputMultiplier, 'inputMultiplier')
  if (norm === 'group') requireGroups([inputWidth, ...widths], groups, 1)
  const full = settings.fullAttention ?? multipliers.map((_, level) => level + 1 === levels)
  return {
    ...settings,
    widths,
    inputWidth,
    groups: norm === 'group' ? groups : 0,
    fullAttention: ofEach(full, levels, 'fullAttention').map(Number),
    heads: ofEach(settings.heads, levels, 'heads'),
    headChannels: ofEach(settings.headChannels, levels, 'headChannels'),
    ...dataShape(settings, image, classes, outputs),
  }
}

/** A value for each level; one stands for all. @throws DpmError DPM_INVALID_OPTION for another number of them. */
function ofEach<Value>(values: readonly Value[], levels: number, option: string): Value[] {
  const [first] = values
  if (values.length === 1 && first !== undefined) return Array.from({ length: levels }, () => first)
  if (values.length === levels) return [...values]
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Expected one value or ${levels}, one for each of \`network.multipliers\`, for \`network.${option}\` but received ${values.length}.`,
  )
}
