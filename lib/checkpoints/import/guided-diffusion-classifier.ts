/**
 * Classifiers of noisy images of openai/guided-diffusion (Dhariwal and Nichol 2021, arXiv 2105.05233): `*_classifier.pt`, and what
 * `classifier_train.py` writes. The blocks have the names of its U-Net; there is no way up, and `out` is one of four pools.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import type { EncoderUnetOptions } from '../../networks/encoder-unet.js'
import type { Weights } from '../archives/tensor-archive.js'
import { copyOption } from './copies.js'
import { asked, classNames, defineImport } from './define-import.js'
import { openaiOptions, openaiSchedule } from './openai.js'
import { anyOpenaiWeights, openaiClassifierNames, openaiWeights, readOpenaiFiles } from './openai-files.js'
import { type OpenaiBlocks, openaiPiece } from './openai-unet.js'
import { from, type Piece, pointwise } from './pieces.js'

type Pool = NonNullable<EncoderUnetOptions['pool']>

const { imageSize, dropout, diffusionSteps, noiseSchedule } = openaiOptions

export const guidedDiffusionClassifier = defineImport({
  name: 'guided-diffusion-classifier',
  description: 'classifiers of openai/guided-diffusion: *_classifier.pt, or model*.pt of classifier_train.py',
  options: z.strictObject({
    ...copyOption,
    imageSize,
    dropout,
    diffusionSteps,
    noiseSchedule,
    blocks: z.int().min(1).optional().describe('--classifier_depth, where the tensors leave it open'),
    headChannels: z.int().min(1).default(64).describe('channels per attention head: 64 in script_util.py'),
    headLayout: z
      .enum(['split', 'interleaved'])
      .default('interleaved')
      .describe('interleaved in script_util.py; split with use_new_attention_order'),
    rescaledTimes: z.boolean().default(false).describe('--rescale_timesteps'),
  }),
  async recognises(source) {
    return (await anyOpenaiWeights(source, openaiClassifierNames)) !== undefined
  },
  async read(source, options) {
    const weights = await openaiWeights(source, openaiClassifierNames, options.weights)
    if (!weights) {
      throw unfit(source.path, 'it has no `input_blocks`, or an `output_blocks` beside them')
    }
    const found = readEncoder(weights, source.path, options.blocks)
    const pool = poolOf(weights, source.path)
    const chosen = asked({
      imageSize: {
        value: options.imageSize ?? imageSizeOf(weights, found),
        about: 'height and width of the images',
      },
      diffusionSteps: { value: options.diffusionSteps, about: 'times of the noise schedule, mostly 1000' },
      noiseSchedule: {
        value: options.noiseSchedule,
        about: 'linear or cosine, as the model that it is to guide (64x64: cosine)',
      },
    })
    return {
      network: {
        kind: 'encoder-unet',
        channels: found.channels,
        multipliers: [...found.multipliers],
        inputMultiplier: found.inputMultiplier,
        blocks: found.blocks,
        attentionResolutions: found.attentionLevels.map((level) => chosen.imageSize / 2 ** level),
        pool,
        headChannels: options.headChannels,
        headLayout: options.headLayout,
        resampling: found.resampling,
        scaleShift: found.scaleShift,
        dropout: options.dropout,
      },
      diffusion: {
        schedule: openaiSchedule(chosen.noiseSchedule, chosen.diffusionSteps),
        loss: 'cross-entropy',
        timeLabel: options.rescaledTimes ? 'thousandths' : 'step',
      },
      image: { channels: found.imageChannels, height: chosen.imageSize, width: chosen.imageSize },
      classes: classNames(logitsOf(weights, pool), source.path),
      ...(await readOpenaiFiles(source, openaiClassifierNames, options.weights)),
      piece: ({ name }) => (name.startsWith('pool.') ? poolPiece(name, pool) : openaiPiece(name, found)),
    }
  },
})

interface Encoder extends OpenaiBlocks {
  readonly channels: number
  readonly inputMultiplier: number
  readonly imageChannels: number
  readonly scaleShift: boolean
}

interface Entry {
  /** `none` leaves no trace: an average pooling. */
  readonly kind: 'block' | 'convolution' | 'none'
  readonly width: number
  readonly attends: boolean
}

/**
 * Entry 0 is the input convolution; L levels of B blocks have L (B + 1) entries, the last level without a resampling at its end.
 * Resampling in a residual block looks like any block, so that L and B are those that leave every level with one width, and
 * attention behind all of its blocks or none.
 */
function readEncoder(weights: Weights, path: string, asked: number | undefined): Encoder {
  const size = (name: string, axis: number): number => weights.get(name)?.shape[axis] ?? 0
  const count =
    [...weights.keys()].reduce(
      (most, name) => Math.max(most, Number(/^input_blocks\.(\d{1,3})\./.exec(name)?.[1] ?? -1)),
      -1,
    ) + 1
  const entries = Array.from({ length: count }, (_, index): Entry => {
    const [block, convolution] = ['in_layers.2', 'op'].map((part) => size(`input_blocks.${index}.0.${part}.weight`, 0))
    return {
      kind: block ? 'block' : convolution ? 'convolution' : 'none',
      width: block || convolution || 0,
      attends: weights.has(`input_blocks.${index}.1.qkv.weight`),
    }
  })
  const layouts = Array.from({ length: count }, (_, index) => index + 1)
    .filter((each) => each > 1 && count % each === 0 && (asked === undefined || each === asked + 1))
    .flatMap((each) => layoutOf(entries, each) ?? [])
  const [layout, another] = layouts
  if (!layout) throw unfit(path, `its ${count} input blocks make no levels of ${asked ?? 'so many'} blocks each`)
  if (another) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The tensors of ${JSON.stringify(path)} fit levels of ${layouts.map(({ blocks }) => blocks).join(' or ')} blocks. Say which it was (--classifier_depth) with --set blocks=….`,
      { details: { options: ['blocks'] } },
    )
  }
  const channels = size('time_embed.0.weight', 1)
  const { widths, ...rest } = layout
  return {
    ...rest,
    channels,
    multipliers: widths.map((width) => width / channels),
    inputMultiplier: size('input_blocks.0.0.weight', 0) / channels,
    imageChannels: size('input_blocks.0.0.weight', 1),
    scaleShift: size('input_blocks.1.0.emb_layers.1.weight', 0) === 2 * (widths[0] ?? 0),
  }
}

interface Layout extends Pick<OpenaiBlocks, 'blocks' | 'attentionLevels' | 'resampling'> {
  readonly widths: readonly number[]
}

/** The layout with so many entries a level; undefined where the entries are none. */
function layoutOf(entries: readonly Entry[], each: number): Layout | undefined {
  const levels = Array.from({ length: entries.length / each }, (_, level) => {
    const own = entries.slice(1 + level * each, 1 + (level + 1) * each)
    return { blocks: own.slice(0, each - 1), resampling: own[each - 1] }
  })
  const kinds = new Set(levels.flatMap(({ resampling }) => resampling?.kind ?? []))
  const fits = levels.every(({ blocks: [first, ...others], resampling }) => {
    const isSame = ({ kind, width, attends }: Entry): boolean =>
      kind === 'block' && width === first?.width && attends === first.attends
    const keeps = !resampling || resampling.kind === 'none' || resampling.width === first?.width
    return first?.kind === 'block' && others.every(isSame) && keeps && !resampling?.attends
  })
  if (!fits || kinds.size > 1) return undefined
  const [kind = 'block'] = kinds
  return {
    blocks: each - 1,
    widths: levels.map(({ blocks: [first] }) => first?.width ?? 0),
    attentionLevels: levels.flatMap(({ blocks: [first] }, level) => (first?.attends ? [level] : [])),
    resampling: kind === 'block' ? 'residual' : kind === 'none' ? 'pool' : 'convolution',
  }
}

function poolOf(weights: Weights, path: string): Pool {
  if (weights.has('out.2.positional_embedding')) return 'attention'
  const first = weights.get('out.0.weight')?.shape.length
  if (first === 1 && weights.has('out.3.weight')) return 'adaptive'
  if (first === 2 && weights.has('out.2.weight')) return 'spatial'
  if (first === 2 && weights.has('out.3.weight')) return 'spatial_v2'
  throw unfit(path, 'its `out` is none of the pools adaptive, attention, spatial and spatial_v2')
}

const pools: Readonly<Record<Pool, Readonly<Record<string, string>>>> = {
  adaptive: { norm: 'out.0', out: 'out.3' },
  attention: { norm: 'out.0', qkv: 'out.2.qkv_proj', out: 'out.2.c_proj' },
  spatial: { in: 'out.0', out: 'out.2' },
  spatial_v2: { in: 'out.0', norm: 'out.1', out: 'out.3' },
}

function logitsOf(weights: Weights, pool: Pool): number {
  return weights.get(`${pools[pool]['out']}.weight`)?.shape[0] ?? 0
}

function poolPiece(parameter: string, pool: Pool): Piece {
  if (parameter === 'pool.positions') return from('out.2.positional_embedding')
  const [, part = '', kind] = parameter.split('.')
  const piece = from(`${pools[pool][part]}.${kind}`)
  return kind === 'weight' && part !== 'norm' ? pointwise(piece) : piece
}

/** Of the pool `attention`, which has a vector for the mean and one for each position; the public sizes otherwise. */
function imageSizeOf(weights: Weights, { multipliers }: Encoder): number | undefined {
  const columns = weights.get('out.2.positional_embedding')?.shape[1]
  if (columns === undefined) return publicSizes[multipliers.join()]
  const side = Math.sqrt(columns - 1)
  return Number.isInteger(side) ? side * 2 ** (multipliers.length - 1) : undefined
}

/** script_util.py, `create_classifier`. */
const publicSizes: Readonly<Record<string, number>> = {
  '1,2,3,4': 64,
  '1,1,2,3,4': 128,
  '1,1,2,2,4,4': 256,
  '0.5,1,1,2,2,4,4': 512,
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} does not hold a classifier of guided-diffusion: ${reason}.`,
    { details: { path } },
  )
}
