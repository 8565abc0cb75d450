/**
 * `all_modules` of score-SDE's networks, in the order in which they run: what each is follows from its tensors, and which of ours from
 * its place.
 */
import { DpmError } from '../../errors.js'
import type { Weights } from '../archives/tensor-archive.js'
import { concatenated, from, type Piece, reshaped, transposed } from './pieces.js'

/**
 * `resample`: a convolution that halves or doubles the image (`ddpm`). `resizing`: a residual block that does (`ncsnpp`). `combiner`: a 1×1
 * convolution of the smaller image; `pyramid`: a filtered 3×3 one.
 */
export type ModuleKind =
  | 'frequencies'
  | 'linear'
  | 'convolution'
  | 'norm'
  | 'block'
  | 'resizing'
  | 'attention'
  | 'resample'
  | 'combiner'
  | 'pyramid'
  | 'other'

type Shapes = ReadonlyMap<string, readonly number[]>

/** What each module is. */
export function moduleKinds(weights: Weights): ModuleKind[] {
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

function kindOf(module: Shapes): ModuleKind {
  if (module.has('Dense_0.weight') && module.has('Conv_1.weight')) {
    // A straight path of its own although the channels stay: the image does not.
    const [out, into] = module.get('Conv_2.weight') ?? []
    return out !== undefined && out === into ? 'resizing' : 'block'
  }
  if (module.has('NIN_3.W')) return 'attention'
  if (module.size === 1 && module.get('W')?.length === 1) return 'frequencies'
  if (module.size === 2 && module.has('Conv2d_0.weight')) return 'pyramid'
  if (module.size === 2 && module.has('Conv_0.weight')) {
    return module.get('Conv_0.weight')?.[2] === 1 ? 'combiner' : 'resample'
  }
  const rank = module.get('weight')?.length
  return rank === 1 ? 'norm' : rank === 2 ? 'linear' : rank === 4 ? 'convolution' : 'other'
}

/** Goes through the modules in order, and keeps which of ours each is. */
export class ModuleWalk {
  readonly #kinds: readonly ModuleKind[]
  readonly #unfit: (reason: string) => DpmError
  readonly #places = new Map<string, string>()
  #at = 0

  /** @param unfit the error of a network that is not the expected one. */
  constructor(kinds: readonly ModuleKind[], unfit: (reason: string) => DpmError) {
    this.#kinds = kinds
    this.#unfit = unfit
  }

  next(): ModuleKind | undefined {
    return this.#kinds[this.#at]
  }

  take(kind: ModuleKind, ours: string): void {
    const found = this.next()
    if (found !== kind) {
      throw this.#unfit(`all_modules.${this.#at} is ${found ?? 'missing'} where ${ours} needs a ${kind}`)
    }
    this.#places.set(ours, `all_modules.${this.#at}`)
    this.#at++
  }

  /** Takes the module where it is of the kind. @returns whether it was. */
  takeIf(kind: ModuleKind, ours: string): boolean {
    if (this.next() !== kind) return false
    this.take(kind, ours)
    return true
  }

  end(): void {
    if (this.next() !== undefined) throw this.#unfit(`all_modules.${this.#at} is left over`)
  }

  /** Empty for what was not taken. */
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

/** How a parameter of ours is made of theirs, by the place of its module. */
export function modulePiece(parameter: string, walk: ModuleWalk, weights: Weights): Piece {
  if (walk.placeOf(parameter) !== '') return from(`${walk.placeOf(parameter)}.W`)
  const whole = /^(.*)\.(weight|bias)$/.exec(parameter)
  const direct = walk.placeOf(whole?.[1] ?? '')
  if (direct !== '') {
    const inner = ['Conv_0.', 'Conv2d_0.', ''].find((prefix) => weights.has(`${direct}.${prefix}${whole?.[2]}`)) ?? ''
    return from(`${direct}.${inner}${whole?.[2]}`)
  }
  const [, owner = '', part = '', kind = ''] = /^(.*)\.(\w+)\.(weight|bias)$/.exec(parameter) ?? []
  const place = walk.placeOf(owner)
  if (place === '') throw new DpmError('DPM_INTERNAL', `No name of score-SDE's modules is known for ${parameter}.`)
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
