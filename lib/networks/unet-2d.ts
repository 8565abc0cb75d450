/**
 * diffusers' `UNet2DModel`, with every block that it can run: its options under their own names in camel case, and with their own
 * defaults. What follows from the data is no option: `in_channels`, `out_channels`, `sample_size`, and `num_class_embeds`, which
 * is the number of classes, and one more with `nullClass`, where `classConditional` is true.
 *
 * Parameters are named as those of `unet` (see unet.ts), and beside them: `time.projection.weight` (Fourier frequencies, or
 * the table of learned times), `classes.{in,out}`; of skip blocks `down.L.{halving,picture}`, `up.L.{doubling,picture.norm,picture.conv}`;
 * of K blocks `…blocks.I.norm1.linear`, `…attentions.I.{norm1.linear,self.qkv,self.out,norm2.linear,cross.qkv,cross.out,cross.text}`.
 */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError, expected } from '../errors.js'
import type { NativeSettings } from '../native/binding.js'
import { defineOptions, nearest } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import { initializationSchema } from './initialization.js'
import type { NetworkDefinition } from './network-definition.js'
import {
  carriesPicture,
  type DownBlockType,
  downBlocks,
  impossibleBlocks,
  middleBlock,
  type UpBlockType,
  upBlocks,
} from './unet-2d-blocks.js'
import { Unet2dLayers } from './unet-2d-layers.js'

/** A block's name; of one that diffusers has but that cannot run here, why. */
function blockType<Type extends string>(blocks: Readonly<Record<Type, unknown>>): z.ZodType<Type, Type> {
  const names = Object.keys(blocks)
  const type = z.string().superRefine((name, context) => {
    if (Object.hasOwn(blocks, name)) return
    const why = Object.hasOwn(impossibleBlocks, name) ? impossibleBlocks[name] : undefined
    const near = nearest(name, names)
    const message = why
      ? `Expected a block that UNet2DModel can run, which ${name} is not (${why}); there are ${names.join(', ')};`
      : `Expected one of ${names.join(', ')}${near ? ` (did you mean ${near}?)` : ''}`
    context.addIssue({ code: 'custom', message })
  })
  return type as unknown as z.ZodType<Type, Type>
}

const unet2dSchema = z.strictObject({
  kind: z.literal('unet-2d'),
  centerInputSample: z.boolean().default(false).describe('the network sees 2x - 1'),
  timeEmbeddingType: z
    .enum(['positional', 'fourier', 'learned'])
    .default('positional')
    .describe(
      "positional: sinusoids; fourier: random features of the label's logarithm, and the output divided by the label; learned: a table",
    ),
  timeEmbeddingDim: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe('channels of the embedding of time and class; null: four times those of the first level'),
  freqShift: z.int().default(0).describe('subtracted from the number of sinusoids in their exponents; 1 in DDPM'),
  flipSinToCos: z.boolean().default(true).describe('cosines before sines'),
  downBlockTypes: z
    .array(blockType<DownBlockType>(downBlocks))
    .min(1)
    .max(12)
    .default(['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'])
    .describe(`blocks on the way down, of ${Object.keys(downBlocks).join(', ')}`),
  midBlockType: z
    .enum(['UNetMidBlock2D'])
    .nullable()
    .default('UNetMidBlock2D')
    .describe('the middle: block, attention, block; null for none'),
  upBlockTypes: z
    .array(blockType<UpBlockType>(upBlocks))
    .min(1)
    .max(12)
    .default(['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'])
    .describe(`blocks on the way up, the lowest first, of ${Object.keys(upBlocks).join(', ')}`),
  blockOutChannels: z
    .array(z.int().min(1).max(65_536))
    .min(1)
    .max(12)
    .default([224, 448, 672, 896])
    .describe('channels of each level'),
  layersPerBlock: z
    .int()
    .min(1)
    .max(64)
    .default(2)
    .describe('residual blocks per level on the way down; one more on the way up'),
  midBlockScaleFactor: z.number().positive().default(1).describe('divides the sums of the middle'),
  downsamplePadding: z
    .int()
    .min(0)
    .max(1)
    .default(1)
    .describe('of the stride-2 convolution: on all sides; 0 pads right and bottom by one'),
  downsampleType: z.enum(['conv', 'resnet']).default('conv').describe('how attention blocks halve'),
  upsampleType: z.enum(['conv', 'resnet']).default('conv').describe('how attention blocks double'),
  dropout: z.number().min(0).lt(1).default(0).describe('dropout before the second convolution of a residual block'),
  actFn: z
    .enum(['silu', 'swish', 'mish', 'gelu', 'relu'])
    .default('silu')
    .describe('activation of the residual blocks; swish is silu'),
  attentionHeadDim: z
    .int()
    .min(1)
    .nullable()
    .default(8)
    .describe('channels of an attention head; null: one head of all'),
  normNumGroups: z
    .int()
    .min(1)
    .nullable()
    .default(32)
    .describe('GroupNorm groups; skip and K blocks have numbers of their own'),
  attnNormNumGroups: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe("groups of the norm of the middle's attention; null: as the others, or, with scale_shift, no norm"),
  normEps: z.number().positive().default(1e-5).describe('GroupNorm epsilon'),
  resnetTimeScaleShift: z
    .enum(['default', 'scale_shift', 'ada_group', 'spatial'])
    .default('default')
    .describe(
      'how time enters a residual block: as a sum, or as scale and shift of its second norm; the others only where no block reads it',
    ),
  addAttention: z.boolean().default(true).describe('attention between the two middle blocks'),
  classEmbedType: z
    .enum(['timestep'])
    .nullable()
    .default(null)
    .describe('null: a table of classes, where `classConditional`; timestep: the class is embedded as a time is'),
  numTrainTimesteps: z
    .int()
    .min(1)
    .max(1_000_000)
    .nullable()
    .default(null)
    .describe('rows of the table of learned times'),
  initialization: initializationSchema
    .default('torch')
    .describe("how weights start; torch: the defaults of PyTorch's layers"),
  zeroLayers: z
    .enum(['zero', 'tiny', 'none'])
    .default('none')
    .describe('last convolution of blocks, of attention and of the network: zero, scale 1e-10 or like the others'),
  ...conditioningOptions,
})

export type Unet2dSettings = z.output<typeof unet2dSchema>
export type Unet2dOptions = z.input<typeof unet2dSchema>

export const unet2d: NetworkDefinition<Unet2dSettings> & { readonly schema: typeof unet2dSchema } = {
  name: 'unet-2d',
  schema: unet2dSchema,
  options: defineOptions('unet-2d', unet2dSchema),
  native: unet2dNative,
}

function unet2dNative(
  settings: Unet2dSettings,
  image: ImageShape,
  classes: number,
  outputs: 1 | 2 = 1,
): NativeSettings {
  const shape = dataShape(settings, image, classes, outputs)
  requireLevels(settings)
  requireLabels(settings)
  requirePicture(settings, shape.inputChannels + shape.conditionChannels, shape.outputChannels)
  const { actFn, blockOutChannels, classEmbedType, timeEmbeddingType } = settings
  const timeChannels = blockOutChannels[0] ?? 1
  const embeddingChannels = settings.timeEmbeddingDim ?? 4 * timeChannels
  const layers = new Unet2dLayers(settings, image, timeChannels, embeddingChannels)
  walk(layers)
  const outputGroups = settings.normNumGroups ?? Math.min(Math.floor(timeChannels / 4), 32)
  const paints = layers.finish(outputGroups)
  return {
    centerInputSample: settings.centerInputSample,
    timeEmbeddingType,
    timeChannels,
    timeRows: timeEmbeddingType === 'learned' ? (settings.numTrainTimesteps ?? 0) : 0,
    freqShift: settings.freqShift,
    flipSinToCos: settings.flipSinToCos,
    embeddingChannels,
    classEmbedding: classEmbedType ?? (settings.classConditional ? 'table' : 'none'),
    activation: actFn === 'swish' ? 'silu' : actFn,
    normEps: settings.normEps,
    dropout: settings.dropout,
    initialization: settings.initialization,
    zeroLayers: settings.zeroLayers,
    layers: layers.layers,
    paints,
    outputGroups,
    ...shape,
  }
}

/** All layers from the input convolution to the output's norm. */
function walk(layers: Unet2dLayers): void {
  const { blockOutChannels, downBlockTypes, upBlockTypes, midBlockType } = layers.settings
  const levels = blockOutChannels.length
  const channelsOf = (level: number): number => blockOutChannels[level] ?? 0
  layers.save()
  downBlockTypes.forEach((type, level) => {
    layers.place = `block \`network.downBlockTypes.${level}\` (${type})`
    const place = {
      out: channelsOf(level),
      in: channelsOf(Math.max(0, level - 1)),
      below: 0,
      last: level === levels - 1,
    }
    downBlocks[type](layers, { ...place, name: `down.${level}` })
  })
  if (midBlockType !== null) {
    layers.place = 'the middle block'
    middleBlock(layers)
  }
  upBlockTypes.forEach((type, index) => {
    layers.place = `block \`network.upBlockTypes.${index}\` (${type})`
    const level = levels - 1 - index
    const place = {
      out: channelsOf(level),
      in: channelsOf(Math.max(0, level - 1)),
      below: channelsOf(Math.min(level + 1, levels - 1)),
      last: level === 0,
    }
    upBlocks[type](layers, { ...place, name: `up.${level}` })
  })
}

function requireLevels({ blockOutChannels, downBlockTypes, upBlockTypes }: Unet2dSettings): void {
  for (const [name, list] of Object.entries({ downBlockTypes, upBlockTypes })) {
    if (list.length === blockOutChannels.length) continue
    throw expected(
      `${blockOutChannels.length} blocks, one for each of \`network.blockOutChannels\`,`,
      `network.${name}`,
      list,
      '',
      'DPM_INVALID_OPTION',
    )
  }
}

/** What time and class are embedded with. @throws DpmError DPM_INVALID_OPTION */
function requireLabels(settings: Unet2dSettings): void {
  const { timeEmbeddingType, numTrainTimesteps, classEmbedType, classConditional, blockOutChannels, freqShift } =
    settings
  const refuse = (message: string): never => {
    throw new DpmError('DPM_INVALID_OPTION', message)
  }
  if (timeEmbeddingType === 'learned' && numTrainTimesteps === null) {
    refuse(
      'Expected a number for `network.numTrainTimesteps`, the rows of the table that `network.timeEmbeddingType` "learned" looks times up in, but received null.',
    )
  }
  if (timeEmbeddingType === 'positional' && Math.floor((blockOutChannels[0] ?? 0) / 2) === freqShift) {
    refuse(
      `Expected another \`network.freqShift\` than ${freqShift}, half of the first level's channels, by which the sinusoids' exponents are divided less it.`,
    )
  }
  if (classEmbedType === 'timestep' && !classConditional) {
    refuse('`network.classEmbedType` "timestep" embeds the class, so `network.classConditional` must be true.')
  }
  if (classEmbedType === 'timestep' && timeEmbeddingType === 'fourier') {
    refuse(
      '`network.classEmbedType` "timestep" with `network.timeEmbeddingType` "fourier" would take the logarithm of class 0. Use another of either.',
    )
  }
}

/** Skip blocks are made for images of three channels. */
function requirePicture({ downBlockTypes, upBlockTypes }: Unet2dSettings, seen: number, outputs: number): void {
  for (const [types, channels, what] of [
    [downBlockTypes, seen, 'sees'],
    [upBlockTypes, outputs, 'gives'],
  ] as const) {
    const type = types.find(carriesPicture)
    if (type === undefined || channels === 3) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Block ${type} is made for images of 3 channels, but the network ${what} ${channels}. Use other blocks, or data with 3 channels and no learned variance.`,
    )
  }
}
