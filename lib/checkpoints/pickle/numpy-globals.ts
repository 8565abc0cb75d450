/**
 * NumPy's arrays and numbers in pickles of protocol 2: `_reconstruct` makes an empty array, and its state fills it;
 * `scalar` reads a number from its bytes, which are a string that `_codecs.encode` turns into bytes.
 *
 * Reference: numpy/_core/src/multiarray/methods.c (`array_reduce`, `array_setstate`), descriptor.c (`arraydescr_reduce`).
 */
import { dtypeBytes, type SafetensorsDType } from '../safetensors-header.js'
import { arrayBytes, entryBytes, type PickleBudget } from './pickle-budget.js'
import {
  type Build,
  PickledTensor,
  PickleGlobal,
  PickleObject,
  PickleTuple,
  type PickleValue,
  wholeNumbers,
} from './pickle-values.js'

const types: Readonly<Record<string, SafetensorsDType>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u8: 'U64',
  u4: 'U32',
  u2: 'U16',
  u1: 'U8',
  b1: 'BOOL',
}

/** `numpy.dtype`: its state says the byte order. */
class NumpyType extends PickleObject {
  readonly dtype: SafetensorsDType

  constructor(dtype: SafetensorsDType) {
    super('numpy.dtype')
    this.dtype = dtype
  }

  override setState(state: PickleValue): boolean {
    return state instanceof PickleTuple && (state.items[1] === '<' || state.items[1] === '|')
  }
}

export class NumpyArray extends PickleObject {
  #tensor: PickledTensor | undefined

  constructor() {
    super('numpy.ndarray')
  }

  /** Undefined until its state is there. */
  get tensor(): PickledTensor | undefined {
    return this.#tensor
  }

  /** (version, shape, type, whether in Fortran order, bytes) */
  override setState(state: PickleValue, budget: PickleBudget): boolean {
    if (!(state instanceof PickleTuple)) return false
    const [, shapeValue, type, isFortran, bytes] = state.items
    const shape = wholeNumbers(shapeValue)
    if (!shape || !(type instanceof NumpyType) || typeof isFortran !== 'boolean' || !(bytes instanceof Uint8Array)) {
      return false
    }
    budget.charge(entryBytes * shape.length)
    const stride = isFortran ? strides([...shape].reverse()).reverse() : strides(shape)
    this.#tensor = new PickledTensor(bytes, type.dtype, { shape, stride, offset: 0 })
    return true
  }
}

function strides(shape: readonly number[]): number[] {
  const result = shape.map(() => 1)
  for (let axis = shape.length - 2; axis >= 0; axis--) result[axis] = (result[axis + 1] ?? 1) * (shape[axis + 1] ?? 1)
  return result
}

const dtype: Build = ([name]) => {
  const found = typeof name === 'string' && Object.hasOwn(types, name) ? types[name] : undefined
  return found && new NumpyType(found)
}

const scalar: Build = ([type, bytes]) => {
  if (!(type instanceof NumpyType) || !(bytes instanceof Uint8Array)) return undefined
  if (bytes.length !== dtypeBytes[type.dtype]) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (type.dtype) {
    case 'F64':
      return view.getFloat64(0, true)
    case 'F32':
      return view.getFloat32(0, true)
    case 'I64':
      return narrow(view.getBigInt64(0, true))
    case 'U64':
      return narrow(view.getBigUint64(0, true))
    case 'I32':
      return view.getInt32(0, true)
    case 'U32':
      return view.getUint32(0, true)
    case 'BOOL':
      return view.getUint8(0) !== 0
    case 'U8':
      return view.getUint8(0)
    default:
      return undefined
  }
}

function narrow(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

/** `_codecs.encode(text, 'latin1')`: how protocol 2 writes bytes. */
const encode: Build = ([text, encoding], budget) => {
  if (typeof text !== 'string' || encoding !== 'latin1') return undefined
  budget.charge(arrayBytes + text.length)
  return Uint8Array.from(Buffer.from(text, 'latin1'))
}

const reconstruct: Build = ([type]) =>
  type instanceof PickleGlobal && type.name === 'numpy.ndarray' ? new NumpyArray() : undefined

const noBytes = new Uint8Array(0)

export const numpyGlobals: Readonly<Record<string, Build>> = {
  'numpy.core.multiarray.scalar': scalar,
  'numpy._core.multiarray.scalar': scalar,
  'numpy.core.multiarray._reconstruct': reconstruct,
  'numpy._core.multiarray._reconstruct': reconstruct,
  'numpy.ndarray': () => undefined,
  'numpy.dtype': dtype,
  '_codecs.encode': encode,
  // Of no bytes at all.
  '__builtin__.bytes': (args) => (args.length === 0 ? noBytes : undefined),
}
