/**
 * The names that a file of weights may hold, and what each builds: tensors, containers, element types, and objects that
 * are nothing but data. Whatever is not here is refused.
 *
 * References: torch/_utils.py (`_rebuild_…`), torch/storage.py, CPython's collections.
 */
import type { SafetensorsDType } from '../safetensors-header.js'
import { numpyGlobals } from './numpy-globals.js'
import { entryBytes } from './pickle-budget.js'
import {
  type Build,
  ElementType,
  isWhole,
  PickleDict,
  PickledTensor,
  PickleGlobal,
  PickleList,
  PickleObject,
  PickleTuple,
  type PickleValue,
  TensorStorage,
  wholeNumbers,
} from './pickle-values.js'

const storages: Readonly<Record<string, SafetensorsDType>> = {
  FloatStorage: 'F32',
  DoubleStorage: 'F64',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
  ComplexFloatStorage: 'C64',
  QInt8Storage: 'I8',
  QUInt8Storage: 'U8',
  QInt32Storage: 'I32',
}

const elementTypes: Readonly<Record<string, SafetensorsDType>> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
  bool: 'BOOL',
  complex64: 'C64',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
}

/** (storage, offset, shape, stride, …): what follows says how gradients are taken, which is of no matter here. */
const rebuildTensor: Build = ([storage, offset, shape, stride]) => {
  if (!(storage instanceof TensorStorage) || storage.dtype === undefined) return undefined
  return tensorOf(storage, storage.dtype, offset, shape, stride)
}

/** The same of bytes, with the element type after the hooks. */
const rebuildUntyped: Build = ([storage, offset, shape, stride, , , type]) => {
  if (!(storage instanceof TensorStorage) || !(type instanceof ElementType)) return undefined
  return tensorOf(storage, type.dtype, offset, shape, stride)
}

function tensorOf(
  storage: TensorStorage,
  dtype: SafetensorsDType,
  offset: PickleValue | undefined,
  shapeValue: PickleValue | undefined,
  strideValue: PickleValue | undefined,
): PickledTensor | undefined {
  const [shape, stride] = [wholeNumbers(shapeValue), wholeNumbers(strideValue)]
  if (!isWhole(offset) || !shape || stride?.length !== shape.length) return undefined
  return new PickledTensor(storage, dtype, { shape, stride, offset })
}

/** Tensors that are in the file in another form than as their elements. */
const unreadable =
  (what: string, sizeOf: (args: readonly PickleValue[]) => PickleValue | undefined): Build =>
  (args) => {
    const shape = wholeNumbers(sizeOf(args))
    return shape && new PickledTensor(new Uint8Array(0), 'F32', { shape, stride: shape, offset: 0 }, what)
  }

/** A tensor of a class, with attributes, which are of no matter here: (how it is made, the class, what of, attributes). */
const rebuildOfType: Build = ([how, type, args], budget) => {
  const isTensor = how instanceof PickleGlobal && type instanceof PickleGlobal && tensorBuilders.has(how.build)
  return isTensor && args instanceof PickleTuple ? how.build(args.items, budget) : undefined
}

const nothing: Build = () => undefined

const parameter: Build = ([tensor]) => (tensor instanceof PickledTensor ? tensor : undefined)

/** `OrderedDict()`, of Python 2 `OrderedDict([[name, value], …])`; `Counter({…})`. */
const dictionary: Build = ([content, ...rest], budget) => {
  if (rest.length > 0) return undefined
  const dict = new PickleDict()
  if (content === undefined || content instanceof PickleGlobal) return dict
  if (content instanceof PickleDict) {
    budget.charge(entryBytes * content.size)
    for (const [name, value] of content.entries) dict.entries.set(name, value)
    return dict
  }
  if (!(content instanceof PickleList)) return undefined
  budget.charge(entryBytes * content.items.length)
  for (const pair of content.items) {
    const items = pair instanceof PickleList || pair instanceof PickleTuple ? pair.items : []
    if (items.length !== 2) return undefined
    dict.entries.set(items[0] ?? null, items[1] ?? null)
  }
  return dict
}

/** Sets, and `torch.Size`: what they are made from. */
const sequence: Build = ([content]) => {
  if (content === undefined) return new PickleTuple([])
  return content instanceof PickleList || content instanceof PickleTuple ? new PickleTuple(content.items) : undefined
}

/** `torch.device('cuda', 0)`, `pathlib.PosixPath('a', 'b')`: for people to see. */
const joined =
  (separator: string): Build =>
  (args, budget) => {
    if (!args.every((arg) => typeof arg === 'string' || typeof arg === 'number')) return undefined
    // Two bytes a character, and a number takes at most 25.
    for (const arg of args) budget.charge(2 * (separator.length + (typeof arg === 'string' ? arg.length : 25)))
    return args.join(separator)
  }

const object =
  (type: string): Build =>
  (args) =>
    args.length === 0 ? new PickleObject(type) : undefined

const tensorBuilders: ReadonlySet<Build> = new Set([rebuildTensor, rebuildUntyped, parameter])

const builders: Readonly<Record<string, Build>> = {
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_tensor_v3': rebuildUntyped,
  'torch._utils._rebuild_parameter': parameter,
  'torch._utils._rebuild_parameter_with_state': parameter,
  'torch._utils._rebuild_qtensor': unreadable('quantized', ([, , size]) => size),
  'torch._utils._rebuild_sparse_tensor': unreadable('sparse', ([, data]) =>
    data instanceof PickleTuple ? data.items[2] : undefined,
  ),
  'torch._utils._rebuild_meta_tensor_no_storage': unreadable('on the device "meta"', ([, size]) => size),
  'torch._tensor._rebuild_from_type_v2': rebuildOfType,
  'torch.serialization._get_layout': ([name]) => (typeof name === 'string' ? name : undefined),
  ...Object.fromEntries(
    [
      'torch.Tensor',
      'torch.nn.parameter.Parameter',
      'torch.nn.parameter.Buffer',
      'torch.per_tensor_affine',
      'torch.per_channel_affine',
    ].map((name) => [name, nothing]),
  ),
  'torch.Size': sequence,
  'torch.device': joined(':'),
  'collections.OrderedDict': dictionary,
  'collections.defaultdict': dictionary,
  'collections.Counter': dictionary,
  '__builtin__.dict': dictionary,
  '__builtin__.set': sequence,
  '__builtin__.frozenset': sequence,
  ...Object.fromEntries(
    ['PosixPath', 'PurePosixPath', '_local.PosixPath', '_local.PurePosixPath'].map((name) => [
      `pathlib.${name}`,
      joined('/'),
    ]),
  ),
  ...Object.fromEntries(
    ['WindowsPath', 'PureWindowsPath', '_local.WindowsPath'].map((name) => [`pathlib.${name}`, joined('\\')]),
  ),
  // What Lightning keeps its hyperparameters in.
  ...Object.fromEntries(
    [
      'pytorch_lightning.utilities.parsing',
      'lightning_fabric.utilities.data',
      'lightning.fabric.utilities.data',
      'lightning.pytorch.utilities.parsing',
    ].map((module) => [`${module}.AttributeDict`, dictionary]),
  ),
  ...Object.fromEntries(
    ['argparse.Namespace', 'types.SimpleNamespace', 'ml_collections.config_dict.config_dict.ConfigDict'].map((name) => [
      name,
      object(name),
    ]),
  ),
  // What a defaultdict makes where there is nothing: never made here.
  ...Object.fromEntries(['int', 'float', 'list'].map((name) => [`__builtin__.${name}`, () => undefined])),
  ...numpyGlobals,
}

/** Names of Python 3 as protocol 2 writes them are those of Python 2; some files have them as they are. */
const globals: ReadonlyMap<string, PickleValue> = new Map<string, PickleValue>([
  ...Object.entries(builders).flatMap(([name, build]): [string, PickleValue][] => {
    const value = new PickleGlobal(name, build)
    return [
      [name, value],
      [name.replace(/^__builtin__\./, 'builtins.'), value],
    ]
  }),
  ...Object.entries(storages).flatMap(([name, dtype]): [string, PickleValue][] => [
    [`torch.${name}`, new ElementType(dtype)],
    [`torch.cuda.${name}`, new ElementType(dtype)],
  ]),
  ...Object.entries(elementTypes).map(([name, dtype]): [string, PickleValue] => [
    `torch.${name}`,
    new ElementType(dtype),
  ]),
  ['torch.storage.UntypedStorage', new PickleTuple([])],
])

export function torchGlobal(name: string): PickleValue | undefined {
  return globals.get(name)
}

/**
 * A storage from its persistent id: ("storage", type, key, device, length), in old files with the part of another storage
 * that it is, (key of the view, offset, length), behind.
 */
export function torchStorage(id: PickleValue): TensorStorage | undefined {
  if (!(id instanceof PickleTuple)) return undefined
  const [kind, type, key, , length, view] = id.items
  if (kind !== 'storage' || typeof key !== 'string' || !isWhole(length)) return undefined
  const dtype = type instanceof ElementType ? type.dtype : undefined
  if (dtype === undefined && !(type instanceof PickleTuple)) return undefined
  if (view === undefined || view === null) return new TensorStorage(key, dtype, length)
  const [, offset, size] = view instanceof PickleTuple ? view.items : []
  return isWhole(offset) && isWhole(size) && offset + size <= length
    ? new TensorStorage(key, dtype, size, offset)
    : undefined
}
