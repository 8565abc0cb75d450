/** The tensor at the boundary: typed arrays in, typed arrays out, row-major (images N×C×H×W). The elements live natively. */
import { DpmError, expected } from '../errors.js'
import type { DType, TensorHandle } from '../native/binding.js'
import { call, callSync } from '../native/call.js'

/** The typed array that holds each dtype's elements; bfloat16 and float16 are their bits. */
export interface ArrayOf {
  float32: Float32Array<ArrayBuffer>
  float64: Float64Array<ArrayBuffer>
  bfloat16: Uint16Array<ArrayBuffer>
  float16: Uint16Array<ArrayBuffer>
  uint8: Uint8Array<ArrayBuffer>
  int64: BigInt64Array<ArrayBuffer>
}

const arrays: { readonly [Type in DType]: new (buffer: ArrayBuffer) => ArrayOf[Type] } = {
  float32: Float32Array,
  float64: Float64Array,
  bfloat16: Uint16Array,
  float16: Uint16Array,
  uint8: Uint8Array,
  int64: BigInt64Array,
}
export const dtypes = Object.keys(arrays) as readonly DType[]

/** A typed array that a tensor can be made from. */
export type TensorSource = Float32Array | Float64Array | Uint16Array | Uint8Array | BigInt64Array

export class Tensor<Type extends DType = DType> implements Disposable {
  readonly shape: readonly number[]
  readonly dtype: Type
  /** `cpu`, `cuda:0` … */
  readonly device: string
  /** What native calls take. */
  readonly handle: TensorHandle

  private constructor(handle: TensorHandle) {
    const info = callSync((binding) => binding.tensorInfo(handle))
    this.handle = handle
    this.shape = Object.freeze(info.shape)
    this.dtype = info.dtype as Type
    this.device = info.device
  }

  /** Takes over a handle that native code returned. */
  static own<Type extends DType = DType>(handle: TensorHandle): Tensor<Type> {
    return new Tensor<Type>(handle)
  }

  /**
   * Copies a typed array into a tensor on the CPU.
   * @param shape its product must be the array's length.
   * @param dtype by default the array's own; a Uint16Array needs `bfloat16` or `float16`.
   * @throws DpmError DPM_INVALID_ARGUMENT
   */
  static from(array: TensorSource, shape: readonly number[], dtype?: DType): Tensor {
    const type = dtype ?? naturalType(array)
    if (!Object.hasOwn(arrays, type)) throw expected(`one of ${dtypes.join(', ')}`, 'dtype', type)
    if (!ArrayBuffer.isView(array) || !(array instanceof arrays[type])) {
      throw expected(`a ${arrays[type].name} for dtype ${type}`, 'array', array)
    }
    // A copy, since an entry may be a getter: what is checked is what native code sees.
    const extents = Array.isArray(shape) ? [...shape] : shape
    const elements = countOf(extents)
    if (array.length !== elements) {
      throw expected(`${elements} elements for shape ${extents.join('×')}`, 'array', array.length)
    }
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
    return new Tensor(callSync((binding) => binding.tensorCreate(bytes, extents, type)))
  }

  /** A copy of the elements in row-major order. */
  async data(): Promise<ArrayOf[Type]> {
    return new arrays[this.dtype](await call(undefined, (binding) => binding.tensorData(this.handle)))
  }

  /** A copy with another dtype or on another device (`cpu`, `cuda`, `cuda:1`). */
  async to<Target extends DType = Type>(target: {
    readonly dtype?: Target
    readonly device?: string
  }): Promise<Tensor<Target>> {
    if (typeof target !== 'object' || target === null)
      throw expected('an object with `dtype` or `device`', 'target', target)
    const { dtype = this.dtype, device = this.device } = target
    return Tensor.own<Target>(await call(undefined, (binding) => binding.tensorConvert(this.handle, dtype, device)))
  }

  /** Frees the memory now, or when a job that uses it ends. Doing it twice is harmless. */
  dispose(): void {
    callSync((binding) => binding.dispose(this.handle))
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

function naturalType(array: TensorSource): DType {
  if (array instanceof Uint16Array) {
    throw expected('`bfloat16` or `float16`', 'dtype', undefined, 'A Uint16Array can hold either.')
  }
  const found = dtypes.find((type) => array instanceof arrays[type])
  if (!found) throw expected('a Float32Array, Float64Array, Uint16Array, Uint8Array or BigInt64Array', 'array', array)
  return found
}

/** Elements of a shape. @throws DpmError DPM_INVALID_ARGUMENT naming the extent that is not a whole number from 0. */
export function countOf(shape: readonly number[]): number {
  if (!Array.isArray(shape)) throw expected('a list of whole numbers', 'shape', shape)
  for (const extent of shape) {
    if (!Number.isSafeInteger(extent) || extent < 0) throw expected('whole numbers of at least 0', 'shape', shape)
  }
  const count = shape.reduce((product, extent) => product * extent, 1)
  if (!Number.isSafeInteger(count))
    throw new DpmError('DPM_OUT_OF_MEMORY', `A tensor of shape ${shape.join('×')} is too large.`)
  return count
}
