/** The tensors and values of a pickled object, by the path to each: `model.conv.weight`, `ema.shadow_params.0`. */
import { DpmError, show } from '../../errors.js'
import type { ArchiveTensor, ArchiveValue } from '../archives/tensor-archive.js'
import { dtypeBytes, nameFault, type SafetensorsDType } from '../safetensors-header.js'
import { NumpyArray } from './numpy-globals.js'
import {
  ElementType,
  PickleDict,
  PickledTensor,
  PickleList,
  PickleObject,
  PickleTuple,
  type PickleValue,
  type TensorStorage,
} from './pickle-values.js'

/** Bytes of a storage, without more than were asked for. */
export interface StorageReader {
  /** The file, for messages. */
  readonly path: string
  /** No tensor takes more memory than the whole file does. */
  readonly sizeBytes: number
  /** Bytes of the storage in the file; undefined when it is not there. */
  bytesOf(storage: TensorStorage): number | undefined
  read(storage: TensorStorage, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>
}

interface Contents {
  readonly tensors: Map<string, ArchiveTensor>
  readonly values: Map<string, ArchiveValue>
}

/** A pickle may refer to one list many times, and to itself: without these bounds a small file would have no end. */
const maximumDepth = 32
const maximumPlaces = 1_000_000
const maximumNameLength = 1024
/** Names of all places together, for each byte of the pickle: a number takes two of these, and its name some forty. */
const nameBytesPerByte = 64
const freeNameBytes = 4_000_000
const mostNameBytes = 256_000_000
/** Bytes of all tensors together, for each of the file. Weights share few: tied layers, an average that is not yet one. */
const tensorBytesPerByte = 8
const freeTensorBytes = 16_000_000
/** Of an axis beside one without elements, which nothing in the file backs. */
const maximumExtent = 2 ** 31

/**
 * @param pickleBytes length of the pickle that the object is from.
 * @throws DpmError DPM_FILE_INVALID naming the tensor that reaches beyond its storage, or is of a name that may not be.
 */
export function contentsOf(
  root: PickleValue,
  storages: StorageReader,
  pickleBytes: number = storages.sizeBytes,
): Contents {
  const contents: Contents = { tensors: new Map(), values: new Map() }
  const allowedNames = Math.min(mostNameBytes, freeNameBytes + nameBytesPerByte * pickleBytes)
  const allowedTensors = freeTensorBytes + tensorBytesPerByte * storages.sizeBytes
  let [places, nameBytes, tensorBytes] = [0, 0, 0]
  /** What is kept by name. */
  const charge = (name: string): void => {
    nameBytes += name.length
    if (nameBytes <= allowedNames) return
    throw invalid(storages.path, `a pickle of ${pickleBytes} bytes gives names of more than ${allowedNames}`)
  }
  const visit = (value: PickleValue, name: string, depth: number): void => {
    places++
    if (name.length > maximumNameLength)
      throw invalid(storages.path, `it has the name ${show(name)}, which is too long`)
    if (places > maximumPlaces || depth > maximumDepth) {
      const limit = depth > maximumDepth ? `nested deeper than ${maximumDepth}` : `in more than ${maximumPlaces} places`
      throw invalid(storages.path, `its values are ${limit}, or hold themselves`)
    }
    if (value instanceof NumpyArray && value.tensor) add(value.tensor, name)
    else if (value instanceof PickledTensor) add(value, name)
    else if (value instanceof PickleList || value instanceof PickleTuple) {
      for (const [index, item] of value.items.entries()) visit(item, join(name, String(index)), depth + 1)
    } else if (value instanceof PickleDict || value instanceof PickleObject) {
      const { entries } = value instanceof PickleDict ? value : value.attributes
      for (const [key, item] of entries) visit(item, join(name, keyText(key)), depth + 1)
    } else {
      charge(name)
      contents.values.set(name, plain(value))
    }
  }
  const add = (tensor: PickledTensor, name: string): void => {
    const fault = contents.tensors.has(name) ? 'stands for two tensors' : nameFault(name || 'tensor')
    if (fault) throw invalid(storages.path, `the tensor name ${show(name)} ${fault}`)
    charge(name)
    const added = archiveTensor(tensor, name || 'tensor', storages)
    if (tensor.unreadable === undefined)
      tensorBytes += dtypeBytes[added.dtype] * added.shape.reduce((product, extent) => product * extent, 1)
    if (tensorBytes > allowedTensors) {
      throw invalid(
        storages.path,
        `its tensors have more than ${allowedTensors} bytes together, in a file of ${storages.sizeBytes}: they show the same elements over and over`,
      )
    }
    contents.tensors.set(added.name, added)
  }
  visit(root, '', 0)
  return contents
}

function join(name: string, key: string): string {
  return name === '' ? key : `${name}.${key}`
}

function keyText(key: PickleValue): string {
  return typeof key === 'object' && key !== null ? `(${key.constructor.name})` : String(key)
}

function plain(value: PickleValue): ArchiveValue {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`
  if (value instanceof ElementType) return value.dtype
  return typeof value === 'object' && value !== null ? ('name' in value ? String(value.name) : 'storage') : value
}

function archiveTensor(tensor: PickledTensor, name: string, storages: StorageReader): ArchiveTensor {
  const { storage, dtype, shape } = tensor
  const size = dtypeBytes[dtype]
  const place = `the tensor ${show(name)} (${dtype} of shape [${shape.join(', ')}])`
  const { unreadable } = tensor
  if (unreadable !== undefined) {
    const cure = `Save it in Python as it is used, with \`.dequantize()\`, \`.to_dense()\` or on the device "cpu".`
    const error = new DpmError(
      'DPM_FILE_INVALID',
      `${JSON.stringify(storages.path)}: ${place} is ${unreadable}, and has no elements to be read. ${cure}`,
    )
    return { name, dtype, shape, read: () => Promise.reject(error) }
  }
  const available = storage instanceof Uint8Array ? storage.byteLength : storageBytes(storage, storages, place)
  const { begin, end, count } = spanOf(tensor)
  if (shape.some((extent) => extent > maximumExtent)) {
    throw invalid(storages.path, `${place} has an axis of more than ${maximumExtent}`)
  }
  if (!(end * size <= available)) {
    throw invalid(storages.path, `${place} reaches to byte ${end * size} of a storage of ${available}`)
  }
  if (!(count * size <= storages.sizeBytes)) {
    throw invalid(storages.path, `${place} has ${count * size} bytes, more than the whole file`)
  }
  return {
    name,
    dtype,
    shape,
    async read() {
      const bytes =
        storage instanceof Uint8Array
          ? Uint8Array.from(storage.subarray(begin * size, end * size))
          : await storages.read(storage, begin * size, end * size)
      return isContiguous(tensor) ? bytes : gathered(tensor, bytes, begin, count)
    },
  }
}

/** Bytes that the tensors of a storage may take, which must be there. */
function storageBytes(storage: TensorStorage, storages: StorageReader, place: string): number {
  const found = storages.bytesOf(storage)
  if (found === undefined) throw invalid(storages.path, `the storage ${show(storage.key)} of ${place} is not in it`)
  const wanted = storage.length * elementBytes(storage.dtype)
  const before = storage.offset * elementBytes(storage.dtype)
  if (before + wanted <= found) return wanted
  throw invalid(
    storages.path,
    `the storage ${show(storage.key)} of ${place} has ${found} bytes, not ${before + wanted}`,
  )
}

export function elementBytes(dtype: SafetensorsDType | undefined): number {
  return dtype === undefined ? 1 : dtypeBytes[dtype]
}

/** The elements of the storage from the first that it has to the last; how many it has itself. */
function spanOf({ shape, stride, offset }: PickledTensor): { begin: number; end: number; count: number } {
  const count = shape.reduce((product, extent) => product * extent, 1)
  if (count === 0) return { begin: 0, end: 0, count }
  const last = shape.reduce((at, extent, axis) => at + (extent - 1) * (stride[axis] ?? 0), offset)
  return { begin: offset, end: last + 1, count }
}

/** Axes of one element may have any stride. */
function isContiguous({ shape, stride }: PickledTensor): boolean {
  let wanted = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const extent = shape[axis] ?? 0
    if (extent === 0) return true
    if (extent !== 1 && stride[axis] !== wanted) return false
    wanted *= extent
  }
  return true
}

function gathered(
  { dtype, shape, stride, offset }: PickledTensor,
  bytes: Uint8Array<ArrayBuffer>,
  begin: number,
  count: number,
): Uint8Array<ArrayBuffer> {
  const size = dtypeBytes[dtype]
  const result = new Uint8Array(count * size)
  const index = shape.map(() => 0)
  let from = offset - begin
  for (let at = 0; at < count; at++) {
    for (let byte = 0; byte < size; byte++) result[at * size + byte] = bytes[from * size + byte] ?? 0
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1
      from += stride[axis] ?? 0
      if (next < (shape[axis] ?? 0)) {
        index[axis] = next
        break
      }
      index[axis] = 0
      from -= next * (stride[axis] ?? 0)
    }
  }
  return result
}

function invalid(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} is not a valid file of weights: ${reason}. It is truncated or corrupt; use another copy of it.`,
    { details: { path } },
  )
}
