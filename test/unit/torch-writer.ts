/**
 * Files as `torch.save` writes them, made without Python: of any size from a few lines, and wrong in any one way. PyTorch
 * 2.15 has read both forms back, equal in every value.
 */
import { strToU8, type Zippable, zipSync } from 'fflate'

/** A tensor to be written; float32 unless `storage` says another class of PyTorch's. */
export class SavedTensor {
  readonly bytes: Uint8Array
  readonly shape: readonly number[]
  readonly storage: string
  readonly elementBytes: number

  constructor(
    values: Float32Array | Float64Array | BigInt64Array | Uint16Array,
    shape: readonly number[],
    storage = 'FloatStorage',
  ) {
    this.bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.shape = shape
    this.storage = storage
    this.elementBytes = values.BYTES_PER_ELEMENT
  }
}

/** Objects become dictionaries, `Map`s ordered dictionaries (as state dicts are), arrays lists. */
export type Saved =
  | null
  | boolean
  | number
  | string
  | SavedTensor
  | readonly Saved[]
  | ReadonlyMap<string, Saved>
  | { readonly [name: string]: Saved }

/** The zip of PyTorch 1.6 and later. */
export function torchZip(content: Saved, changes: Readonly<Record<string, Uint8Array | undefined>> = {}): Buffer {
  const { pickle, storages } = pickled(content, false)
  const records: Record<string, Uint8Array | undefined> = {
    'data.pkl': pickle,
    byteorder: strToU8('little'),
    ...Object.fromEntries(storages.map(({ bytes }, index) => [`data/${index}`, bytes])),
    version: strToU8('3\n'),
    ...changes,
  }
  const files: Zippable = {}
  for (const [name, bytes] of Object.entries(records)) if (bytes) files[`archive/${name}`] = [bytes, { level: 0 }]
  return Buffer.from(zipSync(files))
}

/** The form from before. */
export function torchLegacy(content: Saved): Buffer {
  const { pickle, storages } = pickled(content, true)
  const machine = pickled({ protocol_version: 1001, little_endian: true }, true)
  const keys = pickled(
    storages.map((_, index) => String(index)),
    true,
  )
  return Buffer.concat([
    Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex'),
    pickled(1001, true).pickle,
    machine.pickle,
    pickle,
    keys.pickle,
    ...storages.flatMap(({ bytes, elementBytes }) => {
      const length = Buffer.alloc(8)
      length.writeBigInt64LE(BigInt(bytes.length / elementBytes))
      return [length, bytes]
    }),
  ])
}

interface Pickled {
  readonly pickle: Buffer
  readonly storages: readonly SavedTensor[]
}

function pickled(content: Saved, isLegacy: boolean): Pickled {
  const parts: Buffer[] = [Buffer.from([0x80, 2])]
  const storages: SavedTensor[] = []
  const put = (...codes: (string | Buffer)[]): void => {
    for (const one of codes) parts.push(typeof one === 'string' ? Buffer.from(one, 'latin1') : one)
  }
  const whole = (value: number): Buffer => {
    const bytes = Buffer.alloc(5)
    bytes.write('J', 'latin1')
    bytes.writeInt32LE(value, 1)
    return bytes
  }
  const float = (value: number): Buffer => {
    const bytes = Buffer.alloc(9)
    bytes.write('G', 'latin1')
    bytes.writeDoubleBE(value, 1)
    return bytes
  }
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, 'utf8')
    const head = Buffer.alloc(5)
    head.write('X', 'latin1')
    head.writeUInt32LE(bytes.length, 1)
    return Buffer.concat([head, bytes])
  }
  const numbers = (values: readonly number[]): void => put('(', ...values.map(whole), 't')
  const tensor = (value: SavedTensor): void => {
    const { shape, bytes, elementBytes, storage } = value
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1))
    put('ctorch._utils\n_rebuild_tensor_v2\n', '((', text('storage'), `ctorch\n${storage}\n`)
    put(text(String(storages.length)), text('cpu'), whole(bytes.length / elementBytes), isLegacy ? 'N' : '', 'tQ')
    storages.push(value)
    put(whole(0))
    numbers(shape)
    numbers(strides)
    put('\x89', 'ccollections\nOrderedDict\n', ')R', 't', 'R')
  }
  const entries = (pairs: Iterable<[string, Saved]>): void => {
    put('(')
    for (const [name, value] of pairs) {
      put(text(name))
      save(value)
    }
    put('u')
  }
  const save = (value: Saved): void => {
    if (value === null) put('N')
    else if (typeof value === 'boolean') put(value ? '\x88' : '\x89')
    else if (typeof value === 'number') put(Number.isInteger(value) ? whole(value) : float(value))
    else if (typeof value === 'string') put(text(value))
    else if (value instanceof SavedTensor) tensor(value)
    else if (value instanceof Map) {
      put('ccollections\nOrderedDict\n', ')R')
      entries(value)
    } else if (Array.isArray(value)) {
      put('](')
      for (const item of value as readonly Saved[]) save(item)
      put('e')
    } else {
      put('}')
      entries(Object.entries(value))
    }
  }
  save(content)
  put('.')
  return { pickle: Buffer.concat(parts), storages }
}
