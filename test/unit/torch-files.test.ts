import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { zipSync } from 'fflate'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toFloat32 } from '../../lib/checkpoints/archives/float-values.js'
import { openArchive } from '../../lib/checkpoints/archives/open-archive.js'
import type { TensorArchive } from '../../lib/checkpoints/archives/tensor-archive.js'
import { DpmError } from '../../lib/errors.js'
import { SavedTensor, torchLegacy, torchZip } from './torch-writer.js'

const fixtures = fileURLToPath(new URL('../fixtures/torch-files/', import.meta.url))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-torch-files-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function numbersOf(
  archive: TensorArchive,
  name: string,
): Promise<{ dtype: string; shape: readonly number[]; values: number[] }> {
  const tensor = archive.tensors.get(name)
  if (!tensor) throw new Error(`no tensor ${name}; there are ${[...archive.tensors.keys()].join(', ')}`)
  return { dtype: tensor.dtype, shape: tensor.shape, values: [...toFloat32(tensor.dtype, await tensor.read())] }
}

/** The error of opening these bytes, or of reading all that is in them. */
async function faultOf(bytes: Uint8Array): Promise<string> {
  const path = join(folder, 'bytes.pt')
  await writeFile(path, bytes)
  try {
    await using archive = await openArchive(path)
    for (const tensor of archive.tensors.values()) await tensor.read()
  } catch (error) {
    if (error instanceof DpmError && error.code === 'DPM_FILE_INVALID') return error.message
    throw error
  }
  return 'none'
}

const count = (length: number): number[] => Array.from({ length }, (_, index) => index)

describe.each(['', '-legacy'])('what PyTorch wrote%s', (form) => {
  const open = (name: string): Promise<TensorArchive> => openArchive(join(fixtures, `${name}${form}.pt`))

  test('every element type', async () => {
    await using archive = await open('types')
    const types = {
      float64: 'F64',
      float32: 'F32',
      float16: 'F16',
      bfloat16: 'BF16',
      int64: 'I64',
      int32: 'I32',
      int16: 'I16',
      int8: 'I8',
      uint8: 'U8',
    }
    for (const [name, dtype] of Object.entries(types)) {
      expect(await numbersOf(archive, name)).toEqual({ dtype, shape: [2, 3], values: count(6) })
    }
    expect(await numbersOf(archive, 'bool')).toEqual({ dtype: 'BOOL', shape: [2, 3], values: [0, 1, 1, 1, 1, 1] })
  })

  test('strides, offsets, storages that several tensors share, axes of no and of one element', async () => {
    await using archive = await open('views')
    const expected: Readonly<Record<string, readonly [readonly number[], readonly number[]]>> = {
      base: [[4, 6], count(24)],
      transposed: [[6, 4], count(24).map((at) => (at % 4) * 6 + Math.floor(at / 4))],
      columns: [
        [4, 2],
        [1, 2, 7, 8, 13, 14, 19, 20],
      ],
      offset: [[6], [12, 13, 14, 15, 16, 17]],
      'reversed axes': [
        [4, 2, 3],
        count(24).map((at) => Math.floor(at / 6) + 12 * (Math.floor(at / 3) % 2) + 4 * (at % 3)),
      ],
      expanded: [[3, 4], count(12).map((at) => Math.floor(at / 4))],
      scalar: [[], [7]],
      empty: [[0, 5], []],
    }
    expect([...archive.tensors.keys()]).toEqual(Object.keys(expected))
    for (const [name, [shape, values]] of Object.entries(expected)) {
      expect(await numbersOf(archive, name), name).toEqual({ dtype: 'F32', shape, values })
    }
  })

  test('a training checkpoint: state dicts, parameters, NumPy arrays, and every plain value', async () => {
    await using archive = await open('training')
    expect(await numbersOf(archive, 'model.0.weight')).toMatchObject({ shape: [2, 3], values: count(6) })
    expect(await numbersOf(archive, 'model.1.num_batches_tracked')).toEqual({ dtype: 'I64', shape: [], values: [1] })
    expect(await numbersOf(archive, 'optimizer.state.0.exp_avg')).toMatchObject({ shape: [2, 3] })
    expect(await numbersOf(archive, 'parameter')).toMatchObject({ values: [0, 1] })
    expect(await numbersOf(archive, 'array')).toEqual({ dtype: 'I32', shape: [2, 3], values: count(6) })
    expect(await numbersOf(archive, 'fortran')).toEqual({ dtype: 'F64', shape: [2, 3], values: count(6) })
    expect(Object.fromEntries([...archive.values].filter(([name]) => !name.startsWith('optimizer')))).toEqual({
      step: 1234,
      loss: 0.25,
      done: false,
      nothing: null,
      big: String(2n ** 70n),
      negative: -3,
      name: 'naïve',
      'history.0': 1,
      'history.1': 2,
      'history.2.0': 3,
      'history.2.1': 'x',
      'shape.0': 3,
      'shape.1': 4,
      dtype: 'F16',
      device: 'cuda:1',
      'default.a.b': 1,
      'counter.a': 2,
      'counter.b': 1,
      'counter.c': 1,
      'set.0': 5,
      scalar: 1.5,
      count: 9,
      'options.lr': 0.1,
      'options.name': 'x',
    })
  })

  test('a pickle with code in it is refused by the name of the code; nothing is run', async () => {
    const error: unknown = await open('attack').catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'DPM_FILE_INVALID', details: { global: 'posix.system' } })
    expect(String(error)).toMatch(/at byte \d+ it names "posix.system".*Nothing of it was run/)
  })
})

describe('what PyTorch wrote otherwise', () => {
  test('storages without a type, whose tensors say it', async () => {
    await using archive = await openArchive(join(fixtures, 'untyped.pt'))
    expect(await numbersOf(archive, 'unsigned')).toEqual({ dtype: 'U16', shape: [3], values: [0, 1, 2] })
    expect(archive.tensors.get('float8')).toMatchObject({ dtype: 'F8_E4M3', shape: [3] })
  })

  test.each([
    ['module', /names "torch.nn.modules.linear.Linear".*save its state_dict\(\)/],
    ['script', /TorchScript module.*state_dict\(\)/],
    ['protocol-4', /protocol 4.*pickle_protocol=2/],
  ])('%s.pt is refused with the cure', async (name, message) => {
    await expect(openArchive(join(fixtures, `${name}.pt`))).rejects.toThrow(message)
  })
})

const content = { weight: new SavedTensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]), step: 5 }
/** A pickle, with text for its instructions. */
const pickle = (...parts: (string | Buffer)[]): Buffer =>
  Buffer.concat([
    Buffer.from([0x80, 2]),
    ...parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)),
  ])
const size32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const withPickle = (bytes: Buffer): Buffer => torchZip(content, { 'data.pkl': bytes })
const storage = (length: number, key = '0'): string =>
  `(U\x07storagectorch\nFloatStorage\nU${String.fromCharCode(key.length)}${key}U\x03cpuK${String.fromCharCode(length)}tQ`
const rebuilt = (length: number, ...rest: string[]): Buffer =>
  pickle(`ctorch._utils\n_rebuild_tensor_v2\n(${storage(length)}`, ...rest, 'tR.')

describe.each([
  ['zip', torchZip],
  ['legacy', torchLegacy],
] as const)('files of our own making: %s', (_, write) => {
  test('are read as they were written', async () => {
    const path = join(folder, 'own.pt')
    await writeFile(path, write({ model: new Map([['a.b', content.weight]]), list: [1, 0.5, 'x', null, true] }))
    await using archive = await openArchive(path)
    expect(await numbersOf(archive, 'model.a.b')).toEqual({ dtype: 'F32', shape: [2, 3], values: [1, 2, 3, 4, 5, 6] })
    expect([...archive.values.values()]).toEqual([1, 0.5, 'x', null, true])
  })

  test('cut off anywhere they are refused', async () => {
    const bytes = write(content)
    for (let length = 0; length < bytes.length; length += 7) {
      expect(await faultOf(bytes.subarray(0, length)), `${length} bytes`).not.toBe('none')
    }
  })
})

describe('wrong files end in a clear error', () => {
  const deep = pickle(']'.repeat(40), 'a'.repeat(39), '.')
  // Each list holds the one before it twice: 2^40 places.
  const byte = (value: number): string => String.fromCharCode(value)
  const doubling = pickle(
    '(]',
    ...Array.from({ length: 28 }, (_, index) => `q${byte(index)}](h${byte(index)}h${byte(index)}e`),
    't.',
  )
  const itself = pickle(']q\x00h\x00a.')

  test.each<[string, Buffer, RegExp]>([
    ['an instruction that torch does not write', withPickle(pickle('V')), /byte 2 it has the instruction 0x56/],
    ['a name that is not allowed', withPickle(pickle('cos\nsystem\n(U\x02lstR.')), /byte 2 it names "os.system"/],
    ['a builtin', withPickle(pickle('c__builtin__\neval\n(U\x011tR.')), /"__builtin__.eval"/],
    ['a name hidden in a string of the stack', withPickle(pickle('U\x02osU\x06system\x93.')), /instruction 0x93/],
    ['a call of what is no name', withPickle(pickle('K\x01)R.')), /called that is not a name/],
    [
      'a call with other arguments',
      withPickle(pickle('ctorch._utils\n_rebuild_tensor_v2\n)R.')),
      /called with arguments that it does not take/,
    ],
    ['an empty stack', withPickle(pickle('.')), /takes a value that is not there/],
    ['a run without beginning', withPickle(pickle('K\x01t.')), /no beginning/],
    ['a value that was not remembered', withPickle(pickle('h\x07.')), /recalls value 7/],
    ['values left over', withPickle(pickle('K\x01K\x01.')), /left over/],
    ['an end in the middle', withPickle(pickle('(K\x01')), /ends at byte 5/],
    ['a string of 4 GB', withPickle(pickle('X', size32(0xffffffff), 'abc')), /in the middle of a value/],
    ['a list appended to a number', withPickle(pickle('K\x01K\x01a.')), /not a list/],
    ['an odd dictionary', withPickle(pickle('}(K\x01u.')), /not a dictionary/],
    ['a state for a number', withPickle(pickle('K\x01}b.')), /a state that has none/],
    ['a persistent id of a module', withPickle(pickle('(U\x06moduletQ.')), /not a storage/],
    ['lists in lists', withPickle(deep), /nested deeper than 32/],
    ['a list that holds itself', withPickle(itself), /hold themselves/],
    ['a few bytes that mean 2^28 places', withPickle(doubling), /more than 1000000 places/],
    [
      'a tensor beyond its storage',
      withPickle(rebuilt(6, 'K\x00(K\x03K\x03t(K\x03K\x01t')),
      /reaches to byte 36 of a storage of 24/,
    ],
    [
      'an offset beyond its storage',
      withPickle(rebuilt(6, 'K\x01(K\x02K\x03t(K\x03K\x01t')),
      /reaches to byte 28 of a storage of 24/,
    ],
    ['a negative stride', withPickle(rebuilt(6, 'K\x05(K\x06t(J\xff\xff\xff\xfft')), /does not take/],
    ['a shape of another rank than its strides', withPickle(rebuilt(6, 'K\x00(K\x06t)')), /does not take/],
    [
      'a billion elements out of one',
      withPickle(rebuilt(6, 'K\x00(J\x00\x00\x00\x40t(K\x00t')),
      /more than the whole file/,
    ],
    ['a storage of another length', withPickle(rebuilt(7, 'K\x00(K\x06t(K\x01t')), /has 24 bytes, not 28/],
    [
      'a storage that is not there',
      withPickle(pickle(`ctorch._utils\n_rebuild_tensor_v2\n(${storage(6, '../0')}K\x00(K\x06t(K\x01ttR.`)),
      /"..\/0".*is not in it/,
    ],
    ['a tensor name with ..', torchZip({ '../weight': content.weight }), /name "..\/weight" contains ".."/],
    ['two tensors of one name', torchZip({ 'a.b': content.weight, a: { b: content.weight } }), /"a.b" stands for two/],
    ['big-endian', torchZip(content, { byteorder: Buffer.from('big') }), /byte order is "big"/],
    ['no pickle', torchZip(content, { 'data.pkl': undefined }), /no data.pkl/],
    ['no storage', torchZip(content, { 'data/0': undefined }), /is not in it/],
    [
      'a compressed storage',
      Buffer.from(
        zipSync({
          'archive/data.pkl': [torchPickle(), { level: 0 }],
          'archive/data/0': [new Uint8Array(24), { level: 9 }],
        }),
      ),
      /compressed, which torch.save does not do/,
    ],
    [
      'a bomb for a pickle',
      Buffer.from(zipSync({ 'archive/data.pkl': [new Uint8Array(50_000_000), { level: 9 }] })),
      /compressed/,
    ],
    [
      'a name that leaves the folder',
      Buffer.from(zipSync({ 'archive/data.pkl': torchPickle(), '../../etc/passwd': new Uint8Array(1) })),
      /outside its folder, to "..\/..\/etc\/passwd"/,
    ],
    ['a storage whose bytes have changed', damaged(), /CRC-32/],
    ['a part of a storage whose bytes have changed', damaged(rebuilt(6, 'K\x01(K\x02K\x02t(K\x02K\x01t')), /CRC-32/],
  ])('%s', async (_, bytes, message) => {
    expect(await faultOf(bytes)).toMatch(message)
  })

  test('more instructions than any weights take', async () => {
    expect(await faultOf(withPickle(pickle('(t'.repeat(1_000_100), '.')))).toMatch(/more than 2000000 instructions/)
  })

  test('a legacy file whose storage claims more elements than there are bytes', async () => {
    const bytes = torchLegacy(content)
    bytes.writeBigInt64LE(2n ** 62n, bytes.length - 32)
    expect(await faultOf(bytes)).toMatch(/claims 4611686018427387904 elements, and 24 bytes are left/)
  })

  test('neither Object.prototype nor a tensor changes when names are those of objects', async () => {
    const path = join(folder, 'names.pt')
    await writeFile(
      path,
      torchZip(
        new Map([
          ['__proto__', new Map([['polluted', content.weight]])],
          ['constructor', new Map()],
        ]),
      ),
    )
    await using archive = await openArchive(path)
    expect([...archive.tensors.keys()]).toEqual(['__proto__.polluted'])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

function torchPickle(): Uint8Array {
  return rebuilt(6, 'K\x00(K\x06t(K\x01t')
}

/** The last byte of the storage is another than its checksum says. */
function damaged(changed?: Buffer): Buffer {
  const bytes = changed ? withPickle(changed) : torchZip(content)
  const at = bytes.indexOf(Buffer.from(Float32Array.of(5, 6).buffer))
  bytes[at + 3] = 0x7f
  return bytes
}
