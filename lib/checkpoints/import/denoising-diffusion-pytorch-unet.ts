/**
 * The U-Net of denoising-diffusion-pytorch, from version 1.8, and that of its classifier_free_guidance.py: which settings of
 * `linear-attention-unet` a state dict has, and what ours are made of. Groups of the norms and the base of the sinusoids leave no trace;
 * nor do the heads where they have no memory.
 */
import { DpmError } from '../../errors.js'
import type { LinearAttentionUnetOptions } from '../../networks/linear-attention-unet.js'
import type { Weights } from '../archives/tensor-archive.js'
import { concatenated, from, type Piece, pointwise, reshaped, transposed } from './pieces.js'

export interface FoundUnet {
  readonly inputChannels: number
  readonly outputChannels: number
  readonly classes: number
  /** Channels of all heads together at each level. */
  readonly attentionChannels: readonly number[]
  /** Whether there is a memory, which shows the heads. */
  readonly showsHeads: boolean
  readonly network: LinearAttentionUnetOptions
  /** How a parameter of ours is made of theirs. */
  piece(parameter: string): Piece
}

/** Whether tensors are those of this U-Net, of any version. */
export function isPackageUnet(weights: Weights): boolean {
  const names = ['init_conv.weight', 'time_mlp.1.weight', 'mid_block1.block1.proj.weight', 'final_conv.weight']
  return names.every((name) => weights.has(name))
}

/** @throws DpmError DPM_FILE_INVALID naming what is otherwise than from version 1.8. */
export function readPackageUnet(weights: Weights, path: string): FoundUnet {
  const shape = (name: string): readonly number[] => weights.get(name)?.shape ?? []
  const required = (name: string, axis: number): number => {
    const size = shape(name)[axis]
    if (size !== undefined && size > 0) return size
    throw unfit(path, `it has no ${name}, or one of another shape`)
  }
  if (shape('init_conv.weight').length !== 4) throw unfit(path, 'its convolutions are not those of images')
  const levels = countOf(weights, 'downs')
  if (levels === 0 || countOf(weights, 'ups') !== levels) throw unfit(path, 'it has not as many levels up as down')
  const index = Array.from({ length: levels }, (_, level) => level)
  const isGroup = weights.has('downs.0.0.block1.norm.weight')
  // Those before version 1.8 also had it, with standardised convolutions that look like the others.
  const isWrapped = weights.has('downs.0.2.fn.fn.to_qkv.weight')
  if (isWrapped && isGroup) {
    throw unfit(
      path,
      'its attention stands in a wrapper, as before version 1.8, whose convolutions had standardised weights',
    )
  }
  const attention = (block: string): string => (isWrapped ? `${block}.fn.fn` : block)
  const memories = index.map((level) => shape(`${attention(`downs.${level}.2`)}.mem_kv`))
  const full = index.map((level) => !weights.has(`${attention(`downs.${level}.2`)}.to_out.1.g`))
  const showsHeads = memories.every((memory) => memory.length === 4)
  const channels = required('time_mlp.1.weight', 0) / 4
  const resample = (level: number): string => {
    return [`downs.${level}.3.1`, `downs.${level}.3`].find((name) => weights.has(`${name}.weight`)) ?? ''
  }
  const widths = index.map((level) => required(`${resample(level)}.weight`, 0))
  return {
    inputChannels: required('init_conv.weight', 1),
    outputChannels: required('final_conv.weight', 0),
    classes: shape('classes_emb.weight')[0] ?? 0,
    attentionChannels: index.map((level) => required(`${attention(`downs.${level}.2`)}.to_qkv.weight`, 0) / 3),
    showsHeads,
    network: {
      kind: 'linear-attention-unet',
      channels,
      multipliers: widths.map((width) => width / channels),
      inputMultiplier: required('init_conv.weight', 0) / channels,
      fullAttention: full,
      ...(showsHeads ? headsOf(memories, full) : { memory: 0 }),
      norm: isGroup ? 'group' : 'rms',
      halvingKernel: shape('downs.0.3.weight')[2] === 4 ? 4 : 2,
      ...(weights.has('time_mlp.0.weights')
        ? { timeEmbedding: 'learned', timeFeatures: 2 * required('time_mlp.0.weights', 0) }
        : { timeEmbedding: 'sinusoidal' }),
      classConditional: weights.has('classes_emb.weight'),
    },
    piece: (parameter) => pieceOf(parameter, { weights, levels, isWrapped, isGroup }),
  }
}

/** The memory is 2×heads×channels×memory where attention is linear, 2×heads×memory×channels where it is full. */
function headsOf(
  memories: readonly (readonly number[])[],
  full: readonly boolean[],
): Pick<LinearAttentionUnetOptions, 'heads' | 'headChannels' | 'memory'> {
  const sizes = memories.map(([, heads = 0, a = 0, b = 0], level) => {
    return full[level] ? { heads, headChannels: b, memory: a } : { heads, headChannels: a, memory: b }
  })
  return {
    heads: sizes.map(({ heads }) => heads),
    headChannels: sizes.map(({ headChannels }) => headChannels),
    memory: sizes[0]?.memory ?? 0,
  }
}

/** Entries of a list that are numbered from 0. */
function countOf(weights: Weights, list: string): number {
  let count = 0
  while (weights.has(`${list}.${count}.0.block1.proj.weight`)) count++
  return count
}

interface Place {
  readonly weights: Weights
  readonly levels: number
  readonly isWrapped: boolean
  readonly isGroup: boolean
}

const simple: Readonly<Record<string, string>> = {
  'time.in': 'time_mlp.1',
  'time.out': 'time_mlp.3',
  'classes.in': 'classes_mlp.0',
  'classes.out': 'classes_mlp.2',
  input: 'init_conv',
  'output.conv': 'final_conv',
}

const blocks: Readonly<Record<string, string>> = {
  'middle.block1': 'mid_block1',
  'middle.attention': 'mid_attn',
  'middle.block2': 'mid_block2',
  'output.block': 'final_res_block',
}

const parts: Readonly<Record<string, string>> = {
  conv1: 'block1.proj',
  norm1: 'block1.norm',
  time: 'mlp.1',
  conv2: 'block2.proj',
  norm2: 'block2.norm',
  shortcut: 'res_conv',
}

function pieceOf(parameter: string, place: Place): Piece {
  if (parameter === 'time.frequencies') return from('time_mlp.0.weights')
  if (parameter === 'classes.weight') {
    // The row of no class stands behind the others.
    return concatenated([from('classes_emb.weight'), reshaped(from('null_classes_emb'), (shape) => [1, ...shape])])
  }
  const [, layer = '', kind = ''] = /^(.*)\.(weight|bias)$/.exec(parameter) ?? []
  const direct = simple[layer]
  if (direct !== undefined) return from(`${direct}.${kind}`)
  const [, side, level = '', rest = ''] = /^(down|up)\.(\d+)\.(.*)$/.exec(parameter) ?? []
  if (side !== undefined) {
    const entry = side === 'down' ? `downs.${level}` : `ups.${place.levels - 1 - Number(level)}`
    return levelPiece(rest, entry, place)
  }
  const block = Object.keys(blocks).find((name) => parameter.startsWith(`${name}.`))
  if (block === undefined) throw unknown(parameter)
  const inside = parameter.slice(block.length + 1)
  const theirs = blocks[block] ?? ''
  return block === 'middle.attention' ? attentionPiece(inside, theirs, place) : blockPiece(inside, theirs, place)
}

function levelPiece(rest: string, entry: string, place: Place): Piece {
  const [, index, inside = ''] = /^blocks\.([01])\.(.*)$/.exec(rest) ?? []
  if (index !== undefined) return blockPiece(inside, `${entry}.${index}`, place)
  if (rest.startsWith('attention.')) return attentionPiece(rest.slice('attention.'.length), `${entry}.2`, place)
  const kind = rest.slice('resample.'.length)
  // Behind a rearrangement or an upsampling, which have no weights.
  const name =
    [`${entry}.3.1.${kind}`, `${entry}.3.${kind}`].find((one) => place.weights.has(one)) ?? `${entry}.3.${kind}`
  const isUnshuffled = kind === 'weight' && place.weights.get(name)?.shape[2] === 1
  if (!isUnshuffled) return from(name)
  return reshaped(from(name), ([out = 0, inner = 0]) => [out, inner / 4, 2, 2])
}

function blockPiece(inside: string, block: string, { isGroup }: Place): Piece {
  const [, part = '', kind = ''] = /^(\w+)\.(weight|bias)$/.exec(inside) ?? []
  const theirs = parts[part]
  if (theirs === undefined) throw unknown(inside)
  return part.startsWith('norm') && !isGroup ? gain(`${block}.${theirs}.g`) : from(`${block}.${theirs}.${kind}`)
}

function attentionPiece(inside: string, block: string, { weights, isWrapped }: Place): Piece {
  const attention = isWrapped ? `${block}.fn.fn` : block
  const isLinear = weights.has(`${attention}.to_out.1.g`)
  if (inside === 'norm.weight') return gain(isWrapped ? `${block}.fn.norm.g` : `${block}.norm.g`)
  if (inside === 'outNorm.weight') return gain(`${attention}.to_out.1.g`)
  if (inside === 'memory') {
    const memory = from(`${attention}.mem_kv`)
    return isLinear ? transposed(memory, [0, 1, 3, 2]) : memory
  }
  if (inside === 'qkv.weight') return pointwise(from(`${attention}.to_qkv.weight`))
  const out = `${attention}.to_out${isLinear ? '.0' : ''}`
  if (inside === 'out.weight') return pointwise(from(`${out}.weight`))
  if (inside === 'out.bias') return from(`${out}.bias`)
  throw unknown(inside)
}

/** The weight of a root-mean-square norm, 1×C×1×1. */
function gain(name: string): Piece {
  return reshaped(from(name), (shape) => [shape.reduce((product, size) => product * size, 1)])
}

function unknown(parameter: string): DpmError {
  return new DpmError('DPM_INTERNAL', `No name of denoising-diffusion-pytorch is known for ${parameter}.`)
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} does not hold the U-Net of denoising-diffusion-pytorch from version 1.8: ${reason}. ` +
      'Export it from Python as TorchScript, and open that with `Network.fromTorchScript`.',
    { details: { path } },
  )
}
