/**
 * score-SDE's model `ddpm`: `all_modules` in the order in which they run, so that what each is follows from its tensors, and
 * where it stands from the count of them.
 *
 * With L levels of B blocks: two linear layers, a convolution; on the way down B blocks per level, each followed by attention
 * where the level has it, and a convolution that halves the image; block, attention, block; on the way up B + 1 blocks per
 * level, attention after the last, a convolution that doubles the image; a norm and a convolution.
 */
import { DpmError } from '../../errors.js'
import type { UnetOptions } from '../../networks/unet.js'
import type { Weights } from '../archives/tensor-archive.js'
import { concatenated, from, type Piece, reshaped, transposed } from './pieces.js'

type Kind = 'linear' | 'convolution' | 'norm' | 'block' | 'attention' | 'resample' | 'other'

export interface ScoreSdeDdpm {
  readonly imageChannels: number
  network(imageHeight: number): UnetOptions
  /** How a parameter of ours is made of theirs. */
  piece(parameter: string): Piece
}

/** @throws DpmError DPM_FILE_INVALID naming the first module that is not that of a `ddpm`. */
export function readScoreSdeDdpm(weights: Weights, path: string): ScoreSdeDdpm {
  const kinds = kindsOf(weights)
  const count = (kind: Kind): number => kinds.filter((one) => one === kind).length
  const levels = count('resample') / 2 + 1
  const blocks = (count('block') - 2 - levels) / (2 * levels)
  const walk = new Walk(kinds, path)
  walk.take('linear', 'time.in')
  walk.take('linear', 'time.out')
  walk.take('convolution', 'input')
  if (!Number.isInteger(blocks) || blocks < 1 || !Number.isInteger(levels)) {
    throw unfit(path, `its ${count('block')} blocks and ${count('resample')} changes of size make no levels`)
  }
  const attending = Array.from({ length: levels }, (_, level) => {
    let attends = false
    for (let block = 0; block < blocks; block++) {
      walk.take('block', `down.${level}.blocks.${block}`)
      attends = walk.next() === 'attention'
      if (attends) walk.take('attention', `down.${level}.attentions.${block}`)
    }
    if (level + 1 < levels) walk.take('resample', `down.${level}.resample`)
    return attends
  })
  walk.take('block', 'middle.block1')
  walk.take('attention', 'middle.attention')
  walk.take('block', 'middle.block2')
  for (let level = levels - 1; level >= 0; level--) {
    for (let block = 0; block <= blocks; block++) walk.take('block', `up.${level}.blocks.${block}`)
    if (attending[level]) walk.take('attention', `up.${level}.attentions.${blocks}`)
    if (level > 0) walk.take('resample', `up.${level}.resample`)
  }
  walk.take('norm', 'output.norm')
  walk.take('convolution', 'output.conv')
  walk.end()
  const shape = (ours: string, name: string): readonly number[] =>
    weights.get(`${walk.placeOf(ours)}.${name}`)?.shape ?? []
  const channels = shape('time.in', 'weight')[1] ?? 0
  const widths = attending.map((_, level) => shape(`down.${level}.blocks.0`, 'Conv_0.weight')[0] ?? 0)
  return {
    imageChannels: shape('input', 'weight')[1] ?? 0,
    network: (imageHeight) => ({
      kind: 'unet',
      channels,
      multipliers: widths.map((width) => width / channels),
      blocks,
      attentionResolutions: attending.flatMap((attends, level) => (attends ? [imageHeight / 2 ** level] : [])),
      decoderAttention: 'last',
      timeEmbedding: 'ddpm',
      downsamplePadding: 'asymmetric',
      resampling: 'convolution',
      groups: 32,
      groupEpsilon: 1e-6,
      zeroLayers: 'tiny',
      nullClass: false,
    }),
    piece: (parameter) => pieceOf(parameter, walk, weights),
  }
}

/** What each module is, by its tensors. */
function kindsOf(weights: Weights): Kind[] {
  const modules = new Map<number, Map<string, readonly number[]>>()
  for (const [name, { shape }] of weights) {
    const [, index, rest] = /^all_modules\.(\d{1,4})\.(.+)$/.exec(name) ?? []
    if (index === undefined || rest === undefined) continue
    const module = modules.get(Number(index)) ?? new Map<string, readonly number[]>()
    modules.set(Number(index), module.set(rest, shape))
  }
  const length = Math.max(-1, ...modules.keys()) + 1
  return Array.from({ length }, (_, index) => kindOf(modules.get(index) ?? new Map()))
}

function kindOf(module: ReadonlyMap<string, readonly number[]>): Kind {
  if (module.has('Dense_0.weight') && module.has('Conv_1.weight')) return 'block'
  if (module.has('NIN_3.W')) return 'attention'
  if (module.has('Conv_0.weight') && module.size === 2) return 'resample'
  const rank = module.get('weight')?.length
  return rank === 1 ? 'norm' : rank === 2 ? 'linear' : rank === 4 ? 'convolution' : 'other'
}

/** Goes through the modules in order, and keeps which of ours each is. */
class Walk {
  readonly #kinds: readonly Kind[]
  readonly #path: string
  readonly #places = new Map<string, string>()
  #at = 0

  constructor(kinds: readonly Kind[], path: string) {
    this.#kinds = kinds
    this.#path = path
  }

  next(): Kind | undefined {
    return this.#kinds[this.#at]
  }

  take(kind: Kind, ours: string): void {
    const found = this.next()
    if (found !== kind) {
      throw unfit(this.#path, `all_modules.${this.#at} is ${found ?? 'missing'} where ${ours} needs a ${kind}`)
    }
    this.#places.set(ours, `all_modules.${this.#at}`)
    this.#at++
  }

  end(): void {
    if (this.next() !== undefined) throw unfit(this.#path, `all_modules.${this.#at} is left over`)
  }

  placeOf(ours: string): string {
    return this.#places.get(ours) ?? ''
  }
}

const parts: Readonly<Record<string, string>> = {
  norm1: 'GroupNorm_0',
  conv1: 'Conv_0',
  time: 'Dense_0',
  norm2: 'GroupNorm_1',
  conv2: 'Conv_1',
}

function pieceOf(parameter: string, walk: Walk, weights: Weights): Piece {
  const whole = /^(.*)\.(weight|bias)$/.exec(parameter)
  const direct = walk.placeOf(whole?.[1] ?? '')
  const isResample = /\.resample\./.test(parameter)
  if (direct !== '') return from(`${direct}.${isResample ? 'Conv_0.' : ''}${whole?.[2]}`)
  const [, owner = '', part = '', kind = ''] = /^(.*)\.(\w+)\.(weight|bias)$/.exec(parameter) ?? []
  const place = walk.placeOf(owner)
  if (place === '') throw new DpmError('DPM_INTERNAL', `No name of score-SDE's ddpm is known for ${parameter}.`)
  // Their 1×1 layer keeps inputs × outputs.
  const nin = (index: number): Piece => {
    return kind === 'weight' ? transposed(from(`${place}.NIN_${index}.W`)) : from(`${place}.NIN_${index}.b`)
  }
  if (part === 'qkv') return concatenated([nin(0), nin(1), nin(2)])
  if (part === 'out') return nin(3)
  if (part === 'norm') return from(`${place}.GroupNorm_0.${kind}`)
  if (part !== 'shortcut') return from(`${place}.${parts[part] ?? part}.${kind}`)
  // As a convolution where the model was made so.
  if (weights.has(`${place}.Conv_2.weight`)) return from(`${place}.Conv_2.${kind}`)
  if (kind === 'bias') return nin(0)
  return reshaped(nin(0), (shape) => [...shape, 1, 1])
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} does not hold score-SDE's model \`ddpm\`: ${reason}. Its DDPM++, NCSN++ and NCSN models are not imported.`,
    { details: { path } },
  )
}
