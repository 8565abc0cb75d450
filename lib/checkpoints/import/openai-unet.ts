/**
 * The U-Net of improved-diffusion and guided-diffusion, whose names are the same: `input_blocks`, `middle_block` and
 * `output_blocks` in the order in which they run. Nearly all of its settings follow from the shapes of its tensors; the
 * number of heads and the size of the images leave no trace in them.
 *
 * With L levels of B blocks both ways have L (B + 1) entries: the way down an input convolution, then B blocks and a
 * downsampling per level; the way up B + 1 blocks per level, the last of which has an upsampling behind it.
 */
import { DpmError } from '../../errors.js'
import type { UnetOptions } from '../../networks/unet.js'
import type { Weights } from '../archives/tensor-archive.js'
import { from, type Piece, pointwise } from './pieces.js'

/** Where its blocks stand: what their names follow from. */
export interface OpenaiBlocks {
  readonly multipliers: readonly number[]
  readonly blocks: number
  /** Levels whose blocks are followed by attention; 0 has the size of the images. */
  readonly attentionLevels: readonly number[]
  readonly resampling: 'convolution' | 'pool' | 'residual'
}

export interface OpenaiUnet extends OpenaiBlocks {
  readonly channels: number
  readonly inputMultiplier: number
  readonly scaleShift: boolean
  readonly inputChannels: number
  readonly outputChannels: number
  readonly classes: number
}

/** Whether tensors are those of this U-Net. */
export function isOpenaiUnet(weights: Weights): boolean {
  const names = ['time_embed.0.weight', 'input_blocks.0.0.weight', 'middle_block.1.qkv.weight', 'out.2.weight']
  // A classifier has no way up.
  return (
    names.every((name) => weights.has(name)) && [...weights.keys()].some((name) => name.startsWith('output_blocks.'))
  )
}

/** Whether they are those of guided-diffusion's classifier, whose blocks have the same names. */
export function isOpenaiClassifier(weights: Weights): boolean {
  const names = ['time_embed.0.weight', 'input_blocks.0.0.weight', 'middle_block.1.qkv.weight']
  return (
    names.every((name) => weights.has(name)) && ![...weights.keys()].some((name) => name.startsWith('output_blocks.'))
  )
}

/** @throws DpmError DPM_FILE_INVALID where the tensors are not those of such a U-Net. */
export function readOpenaiUnet(weights: Weights, path: string): OpenaiUnet {
  const sizes = (name: string): readonly number[] => weights.get(name)?.shape ?? []
  const required = (name: string, axis: number): number => {
    const size = sizes(name)[axis]
    if (size !== undefined && size > 0) return size
    throw unfit(path, `it has no ${name}, or one of another shape`)
  }
  const [inputs, outputs] = [entriesOf(weights, 'input_blocks'), entriesOf(weights, 'output_blocks')]
  const entries = Math.max(-1, ...outputs) + 1
  const upsamplings = Array.from({ length: entries }, (_, index) => upsamplingOf(weights, index)).filter(
    (kind) => kind !== undefined,
  )
  // A resampling without weights leaves no trace on the way up, and a gap on the way down.
  const gaps = entries - inputs.size
  const levels = 1 + (upsamplings.length || gaps)
  const blocks = entries / levels - 1
  if (!Number.isInteger(blocks) || blocks < 1 || Math.max(...inputs) + 1 !== entries) {
    throw unfit(path, `its ${inputs.size} input blocks and ${outputs.size} output blocks make no ${levels} levels`)
  }
  const channels = required('time_embed.0.weight', 1)
  const first = (level: number): string => `input_blocks.${1 + level * (blocks + 1)}`
  const widths = Array.from({ length: levels }, (_, level) => required(`${first(level)}.0.in_layers.2.weight`, 0))
  return {
    channels,
    multipliers: widths.map((width) => width / channels),
    inputMultiplier: required('input_blocks.0.0.weight', 0) / channels,
    blocks,
    attentionLevels: widths.flatMap((_, level) => (weights.has(`${first(level)}.1.qkv.weight`) ? [level] : [])),
    resampling: upsamplings[0] ?? (gaps > 0 ? 'pool' : 'convolution'),
    scaleShift: required(`${first(0)}.0.emb_layers.1.weight`, 0) === 2 * (widths[0] ?? 0),
    inputChannels: required('input_blocks.0.0.weight', 1),
    outputChannels: required('out.2.weight', 0),
    classes: sizes('label_emb.weight')[0] ?? 0,
  }
}

/** Indices of a list that have weights. */
function entriesOf(weights: Weights, list: string): ReadonlySet<number> {
  const indices = [...weights.keys()]
    .filter((name) => name.startsWith(`${list}.`))
    .map((name) => Number(/^\d{1,3}(?=\.)/.exec(name.slice(list.length + 1))?.[0] ?? Number.NaN))
  return new Set(indices.filter((index) => !Number.isNaN(index)))
}

/** What makes the image larger behind an entry of the way up. */
function upsamplingOf(weights: Weights, index: number): 'convolution' | 'residual' | undefined {
  for (const place of [1, 2]) {
    const name = `output_blocks.${index}.${place}`
    if (weights.has(`${name}.conv.weight`)) return 'convolution'
    if (weights.has(`${name}.in_layers.2.weight`)) return 'residual'
  }
  return undefined
}

/** The network's settings, but for those that the tensors do not show. */
export function openaiNetwork(
  found: OpenaiUnet,
  chosen: Pick<UnetOptions, 'heads' | 'headChannels' | 'headLayout' | 'dropout'>,
  imageHeight: number,
  conditionChannels: number,
): UnetOptions {
  return {
    kind: 'unet',
    channels: found.channels,
    multipliers: [...found.multipliers],
    inputMultiplier: found.inputMultiplier,
    blocks: found.blocks,
    attentionResolutions: found.attentionLevels.map((level) => imageHeight / 2 ** level),
    middleAttention: true,
    ...chosen,
    timeEmbedding: 'improved',
    downsamplePadding: 'symmetric',
    resampling: found.resampling,
    scaleShift: found.scaleShift,
    groups: 32,
    groupEpsilon: 1e-5,
    initialization: 'torch',
    zeroLayers: 'zero',
    classConditional: found.classes > 0,
    nullClass: false,
    conditionChannels,
  }
}

/** How a parameter of ours is made of theirs. */
export function openaiPiece(parameter: string, found: OpenaiBlocks): Piece {
  const piece = from(openaiName(parameter, found))
  return /\.(qkv|out)\.weight$/.test(parameter) && !parameter.startsWith('time.') ? pointwise(piece) : piece
}

const simple: readonly (readonly [string, string])[] = [
  ['time.in.', 'time_embed.0.'],
  ['time.out.', 'time_embed.2.'],
  ['classes.', 'label_emb.'],
  ['input.', 'input_blocks.0.0.'],
  ['middle.block1.', 'middle_block.0.'],
  ['middle.attention.', 'middle_block.1.'],
  ['middle.block2.', 'middle_block.2.'],
  ['output.norm.', 'out.0.'],
  ['output.conv.', 'out.2.'],
]

const parts: Readonly<Record<string, string>> = {
  norm1: 'in_layers.0',
  conv1: 'in_layers.2',
  time: 'emb_layers.1',
  norm2: 'out_layers.0',
  conv2: 'out_layers.3',
  shortcut: 'skip_connection',
  norm: 'norm',
  qkv: 'qkv',
  out: 'proj_out',
}

function openaiName(parameter: string, found: OpenaiBlocks): string {
  const inside = (rest: string): string => rest.replace(/^(\w+)\./, (_, part: string) => `${parts[part] ?? part}.`)
  for (const [ours, theirs] of simple) {
    if (!parameter.startsWith(ours)) continue
    const rest = parameter.slice(ours.length)
    return `${theirs}${ours.startsWith('middle.') ? inside(rest) : rest}`
  }
  const match = /^(down|up)\.(\d+)\.(?:(blocks|attentions)\.(\d+)|resample)\.(.*)$/.exec(parameter)
  if (!match) throw new DpmError('DPM_INTERNAL', `No name of OpenAI's U-Net is known for ${parameter}.`)
  const [, side, level, kind, index, rest = ''] = match
  const entry = entryOf(side === 'down', Number(level), kind === undefined ? undefined : Number(index), found)
  if (kind === 'blocks') return `${entry}.0.${inside(rest)}`
  if (kind === 'attentions') return `${entry}.1.${inside(rest)}`
  if (found.resampling === 'residual')
    return `${entry}.${resamplePlace(side === 'down', Number(level), found)}.${inside(rest)}`
  return `${entry}.${resamplePlace(side === 'down', Number(level), found)}.${side === 'down' ? 'op' : 'conv'}.${rest}`
}

/** The entry of a block of a level, or of the resampling that follows the level's blocks. */
function entryOf(
  isDown: boolean,
  level: number,
  block: number | undefined,
  { blocks, multipliers }: OpenaiBlocks,
): string {
  const each = blocks + 1
  if (isDown) return `input_blocks.${1 + level * each + (block ?? blocks)}`
  return `output_blocks.${(multipliers.length - 1 - level) * each + (block ?? blocks)}`
}

/** On the way up the resampling stands behind the level's last block and its attention. */
function resamplePlace(isDown: boolean, level: number, { attentionLevels }: OpenaiBlocks): number {
  if (isDown) return 0
  return attentionLevels.includes(level) ? 2 : 1
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} does not hold the U-Net of improved- or guided-diffusion: ${reason}.`,
    { details: { path } },
  )
}
