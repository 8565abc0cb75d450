/** What a pickle can hold here: data, nothing that acts. */
import type { SafetensorsDType } from '../safetensors-header.js'
import type { PickleBudget } from './pickle-budget.js'

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleList
  | PickleTuple
  | PickleDict
  | PickleObject
  | PickleGlobal
  | ElementType
  | TensorStorage
  | PickledTensor

export class PickleList {
  readonly items: PickleValue[] = []
}

export class PickleTuple {
  readonly items: readonly PickleValue[]

  constructor(items: readonly PickleValue[]) {
    this.items = items
  }
}

/** A dictionary of any kind, in the order of insertion. Names such as `__proto__` are keys like any other. */
export class PickleDict {
  #entries: Map<PickleValue, PickleValue> | undefined

  /** Made when asked for: a pickle can make an empty dictionary for a byte, where a map takes some hundred. */
  get entries(): Map<PickleValue, PickleValue> {
    this.#entries ??= new Map()
    return this.#entries
  }

  get size(): number {
    return this.#entries?.size ?? 0
  }
}

/** An instance of a class that only holds data (`argparse.Namespace`): its attributes, none of its behaviour. */
export class PickleObject {
  readonly type: string
  readonly attributes = new PickleDict()

  /** Takes the state that a class of its own form has. @returns whether it is one; absent: attributes by name. */
  setState?(state: PickleValue, budget: PickleBudget): boolean

  constructor(type: string) {
    this.type = type
  }
}

/** A name that stands for something to build, such as `collections.OrderedDict`; see the list of those allowed. */
export class PickleGlobal {
  readonly name: string
  /**
   * What calling it with these arguments gives; undefined for arguments that it does not take. It reads data, it runs
   * nothing of the file's.
   * @param budget what it copies is charged to.
   */
  readonly build: Build

  constructor(name: string, build: PickleGlobal['build']) {
    this.name = name
    this.build = build
  }
}

export type Build = (args: readonly PickleValue[], budget: PickleBudget) => PickleValue | undefined

/** An element type: `torch.float32`, or what a `torch.FloatStorage` is of. */
export class ElementType {
  readonly dtype: SafetensorsDType

  constructor(dtype: SafetensorsDType) {
    this.dtype = dtype
  }
}

/** Elements that tensors are views of. */
export class TensorStorage {
  /** Its name in the file. */
  readonly key: string
  /** Undefined where the tensor says it (storages without a type). */
  readonly dtype: SafetensorsDType | undefined
  /** Elements; bytes where there is no type. */
  readonly length: number
  /** Of the elements, where this is a part of the stored ones. */
  readonly offset: number

  constructor(key: string, dtype: SafetensorsDType | undefined, length: number, offset = 0) {
    this.key = key
    this.dtype = dtype
    this.length = length
    this.offset = offset
  }
}

/** A tensor, or an array of NumPy: element (i, j, …) is at `offset + i * stride[0] + j * stride[1] + …`. */
export class PickledTensor {
  readonly storage: TensorStorage | Uint8Array
  readonly dtype: SafetensorsDType
  readonly shape: readonly number[]
  readonly stride: readonly number[]
  readonly offset: number
  /** What it is that has no elements to be read as they are: `quantized`; mostly absent. */
  readonly unreadable: string | undefined

  constructor(
    storage: TensorStorage | Uint8Array,
    dtype: SafetensorsDType,
    place: { readonly shape: readonly number[]; readonly stride: readonly number[]; readonly offset: number },
    unreadable?: string,
  ) {
    this.storage = storage
    this.dtype = dtype
    this.shape = place.shape
    this.stride = place.stride
    this.offset = place.offset
    this.unreadable = unreadable
  }
}

/** Whole numbers of at least 0 in a tuple: a shape, a stride. Undefined for anything else. */
export function wholeNumbers(value: PickleValue | undefined): readonly number[] | undefined {
  if (!(value instanceof PickleTuple) || value.items.length > maximumRank) return undefined
  return value.items.every(isWhole) ? (value.items as readonly number[]) : undefined
}

const maximumRank = 64

export function isWhole(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
