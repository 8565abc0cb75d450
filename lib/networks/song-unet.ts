/**
 * DDPM++ and NCSN++, the U-Nets of Song et al. 2021 (arXiv 2011.13456, appendix H), and their two forms in EDM (Karras et al. 2022,
 * arXiv 2206.00364, appendix F.1), which add classes and the labels of its augmentation.
 *
 * What sets them apart from `unet`: images are resized inside residual blocks whose straight path is then always a 1×1
 * convolution, NCSN++ through the filter [1, 3, 3, 1]; every residual sum is multiplied by sqrt(0.5); on the way up only a level's
 * last block is followed by attention; and the image, made smaller level by level, may be shown to the way down (`encoder`), as the
 * output, made larger level by level, may be gathered on the way up (`decoder`).
 *
 *     DDPM++   timeEmbedding positional, timeMultiplier 1, encoder standard, resampling box
 *     NCSN++   timeEmbedding fourier,    timeMultiplier 2, encoder residual, resampling fir
 *              (256×256 and larger: encoder and decoder skip)
 *
 * Weights start uniform of variance 2 / (in + out); last layers of blocks, attention and network at 1e-10 of that, q, k and v at a
 * tenth of it: the laws of both implementations. NCSN++ divides its output by sigma, which is the prediction `score` with `scaled`.
 *
 * Parameter names: `time.frequencies` (kept, not trained), `time.in`, `time.out`, `classes`, `augment`, `input`, `down.L.blocks.I`,
 * `down.L.attentions.I`, `down.L.resample` and `down.L.pyramid` (of the image that comes from level L), `middle`, `up.L.blocks.I`,
 * `up.L.attentions.I`, `up.L.resample`, `up.L.output.{norm,conv}` (decoder skip) or `output.{norm,conv}`; blocks and attentions as
 * those of `unet`. `classes.weight` is time channels × classes, `qkv` 3C×C.
 *
 * The public names, which `test/fixtures/public_networks.py` walks through:
 * - score_sde_pytorch's `ncsnpp`: `all_modules` in the order of their running; in a block `GroupNorm_0`, `Conv_0`, `Dense_0`,
 *   `GroupNorm_1`, `Conv_1`, `Conv_2` (the straight path); in an attention `GroupNorm_0`, `NIN_{0,1,2}` (q, k, v, transposed), `NIN_3`;
 *   `W` are the frequencies; a pyramid is `Conv_0` (skip) or `Conv2d_0` (residual).
 * - EDM's SongUNet: `map_noise.freqs`, `map_label`, `map_augment`, `map_layer{0,1}`, `enc.NxN_{conv,blockI,down,aux_skip,aux_residual}`,
 *   `dec.NxN_{in0,in1,blockI,up,aux_norm,aux_conv}`; the parts of a block as in its DhariwalUNet, see `unet`.
 */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import type { NativeSettings } from '../native/binding.js'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import type { NetworkDefinition } from './network-definition.js'
import { normWidths, requireGroups, requireHalvable, requireHeads, requireSinusoids, widthOf } from './unet-widths.js'

const songUnetSchema = z.strictObject({
  kind: z.literal('song-unet'),
  channels: z.int().min(1).default(128).describe('channels of the first convolution'),
  multipliers: z
    .array(z.number().positive())
    .min(1)
    .max(10)
    .default([1, 2, 2, 2])
    .describe('channels of each level, as multiples'),
  blocks: z
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('residual blocks per level on the way down; one more on the way up'),
  attentionResolutions: z
    .array(z.int().min(1))
    .default([16])
    .describe('image heights at which blocks on the way down, and the last on the way up, are followed by attention'),
  headChannels: z.int().min(1).nullable().default(null).describe('channels per attention head; null: one head'),
  timeEmbedding: z
    .enum(['positional', 'fourier'])
    .default('positional')
    .describe(
      'sinusoids of the time label: positional: [sin, cos] of 1e4^(-i/(half-1)) t; fourier: of 2π f t with random f',
    ),
  timeMultiplier: z
    .number()
    .positive()
    .default(1)
    .describe('channels of the sinusoids, as a multiple: 1 in DDPM++, 2 in NCSN++'),
  fourierScale: z.number().positive().default(16).describe('standard deviation of the random frequencies'),
  encoder: z
    .enum(['standard', 'skip', 'residual'])
    .default('standard')
    .describe(
      'what the way down sees of the smaller images: nothing; each through a 1×1 convolution; each as what was seen before it, made smaller by a 3×3 convolution, joined with the blocks',
    ),
  encoderJoin: z
    .enum(['sum', 'concatenation'])
    .default('sum')
    .describe('how encoder "skip" joins the image with the blocks'),
  decoder: z
    .enum(['standard', 'skip'])
    .default('standard')
    .describe('where the output comes from: the last level, or the sum of those of all levels, made larger'),
  resampling: z
    .enum(['box', 'fir'])
    .default('box')
    .describe('filter of what is made smaller or larger: [1, 1] (DDPM++) or [1, 3, 3, 1] (NCSN++)'),
  scaleShift: z
    .boolean()
    .default(false)
    .describe('time enters as scale and shift of the second norm instead of a sum (EDM: adaptive scale)'),
  skipScale: z.number().positive().default(Math.SQRT1_2).describe('factor on every residual sum'),
  groupEpsilon: z
    .number()
    .positive()
    .default(1e-6)
    .describe('GroupNorm epsilon; groups are 32, or fewer so that each has 4 channels'),
  dropout: z.number().min(0).lt(1).default(0.1).describe('dropout between SiLU and the second convolution of a block'),
  zeroLayers: z
    .enum(['zero', 'tiny', 'none'])
    .default('tiny')
    .describe('last convolution of blocks, of attention and of the network: zero, scale 1e-10 or like the others'),
  augmentLabels: z
    .int()
    .min(0)
    .max(64)
    .default(0)
    .describe('numbers that say how an image was augmented (EDM: 9); always 0, kept so that published weights fit'),
  ...conditioningOptions,
})

export type SongUnetSettings = z.output<typeof songUnetSchema>
export type SongUnetOptions = z.input<typeof songUnetSchema>

export const songUnet: NetworkDefinition<SongUnetSettings> & { readonly schema: typeof songUnetSchema } = {
  name: 'song-unet',
  schema: songUnetSchema,
  options: defineOptions('song-unet', songUnetSchema),
  native: songUnetNative,
}

/** GroupNorm of both implementations. */
const groups = { most: 32, least: 4 } as const

function songUnetNative(
  settings: SongUnetSettings,
  image: ImageShape,
  classes: number,
  outputs: 1 | 2 = 1,
): NativeSettings {
  const { channels, multipliers, blocks, headChannels } = settings
  requireHalvable(image, multipliers.length)
  const timeWidth = widthOf(channels, settings.timeMultiplier, 'timeMultiplier')
  requireSinusoids(timeWidth, settings.timeEmbedding === 'positional')
  const widths = multipliers.map((multiplier) => widthOf(channels, multiplier, 'multipliers'))
  const joined = settings.encoder === 'skip' && settings.encoderJoin === 'concatenation' ? 2 : 1
  requireGroups(normWidths({ input: channels, widths, blocks, joined }), groups.most, groups.least)
  const attending = widths.filter((_, level) => settings.attentionResolutions.includes(image.height / 2 ** level))
  requireHeads([...attending, widths.at(-1) ?? channels], 1, headChannels)
  return {
    ...settings,
    widths,
    timeWidth,
    groups: groups.most,
    minimumGroupChannels: groups.least,
    headChannels: headChannels ?? 0,
    ...dataShape(settings, image, classes, outputs),
  }
}
