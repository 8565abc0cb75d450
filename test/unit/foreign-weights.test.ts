/** What is given as weights and is something else is told for what it is, with what to do; nothing of it takes long. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { zipSync } from 'fflate'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toFloat32 } from '../../lib/checkpoints/archives/float-values.js'
import { openArchive } from '../../lib/checkpoints/archives/open-archive.js'
import { Checkpoint } from '../../lib/checkpoints/checkpoint.js'
import { readCheckpoint } from '../../lib/checkpoints/checkpoint-folder.js'
import { unwrapped } from '../../lib/checkpoints/import/copies.js'
import { ImportSource } from '../../lib/checkpoints/import/import-source.js'
import { contentText } from '../../lib/checkpoints/import/known-contents.js'
import { importers } from '../../lib/checkpoints/import/list.js'
import { DpmError } from '../../lib/errors.js'
import { SavedTensor, torchLegacy, torchZip } from './torch-writer.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-foreign-'))
})
afterAll(() => rm(folder, { recursive: true }))

let files = 0
async function write(bytes: Uint8Array | string, ending = 'pt'): Promise<string> {
  const path = join(folder, `file-${files++}.${ending}`)
  await writeFile(path, bytes)
  return path
}

async function messageOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  )
  if (error instanceof DpmError && error.code === 'DPM_FILE_INVALID') return error.message
  throw new Error(`expected a DpmError of an invalid file, not ${String(error)}`)
}

const tensor = new SavedTensor(Float32Array.of(1, 2, 3, 4), [2, 2])

describe('files of another kind, whatever their name', () => {
  test.each<[string, Uint8Array | string, RegExp]>([
    ['an empty file', '', /it is empty.*get it again/],
    [
      'a pointer of Git LFS',
      'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n',
      /pointer of Git LFS.*git lfs pull/,
    ],
    ['a web page', '\n<!DOCTYPE html>\n<html><head>', /web page.*resolve/],
    ['a web page with a byte order mark', '\ufeff<html lang="en">', /web page/],
    ['the error of a server', '<?xml version="1.0"?><Error><Code>AccessDenied</Code>', /XML text.*error of a server/],
    ['a configuration', '{\n  "_class_name": "UNet2DModel"\n}', /JSON text.*folder/],
    ['gzip', gzipSync('weights'), /gzip-compressed.*gunzip/],
    [
      'a tar',
      Buffer.concat([Buffer.alloc(257, 'a'), Buffer.from('ustar\0'), Buffer.alloc(249)]),
      /tar archive.*tar xf/,
    ],
    ['an empty zip', zipSync({}), /zip without files/],
    ['a zip of NumPy', zipSync({ 'a.npy': new Uint8Array(80) }), /\.npz of NumPy's.*numpy\.load/],
    ['a zip of files of weights', zipSync({ 'model.pt': new Uint8Array(80) }), /zip of files of weights; unpack it/],
    ['a zip of a picture', zipSync({ 'a.png': new Uint8Array(80) }), /no data\.pkl, but "a\.png"/],
    ['HDF5, of Keras', Buffer.from('\x89HDF\r\n\x1a\n\0\0', 'latin1'), /HDF5 file, as Keras.*Python/],
    ['GGUF', Buffer.from('GGUF\x03\0\0\0'), /GGUF.*safetensors/],
    ['npy', Buffer.from('\x93NUMPY\x01\0', 'latin1'), /array of NumPy's/],
    ['ONNX', Buffer.from('080712077079746f726368', 'hex'), /ONNX/],
    ['a picture', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), /a picture/],
    ['zeros', new Uint8Array(4096), /nothing but zeros/],
    ['a bare pickle', Buffer.from('80044e2e', 'hex'), /bare pickle.*runs no program/],
    ['a program', 'import torch\n', /Python text/],
  ])('%s', async (_, bytes, message) => {
    for (const ending of ['pt', 'safetensors']) {
      const path = await write(bytes, ending)
      expect(await messageOf(openArchive(path))).toMatch(message)
    }
    const path = await write(bytes, 'safetensors')
    const loaded = await messageOf(Checkpoint.open(path))
    if (!/^a zip of/.test(_)) expect(loaded).toMatch(message)
  })

  test('a safetensors file whose header has the length of such a mark is read', async () => {
    const header = Buffer.from(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`.padEnd(0x120708))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    await using archive = await openArchive(await write(Buffer.concat([length, header]), 'safetensors'))
    expect([...archive.tensors.keys()]).toEqual(['a'])
  })
})

describe('a checkpoint that is none', () => {
  test.each([
    ['zip', torchZip],
    ['legacy', torchLegacy],
  ] as const)('weights of PyTorch, %s: import is named', async (_, pack) => {
    const path = await write(pack({ weight: tensor }))
    expect(await messageOf(readCheckpoint(path))).toMatch(
      /no checkpoint of dpm-torch: it is weights of PyTorch.*`dpm-torch import \S+ --out model\.safetensors`/,
    )
  })

  test('a folder of diffusers, or of weights', async () => {
    for (const name of ['model_index.json', 'ema_0.9999_010000.pt']) {
      const place = join(folder, `folder of ${name}`)
      await mkdir(place)
      await writeFile(join(place, name), '{}')
      expect(await messageOf(readCheckpoint(place))).toMatch(new RegExp(`but ${name}.*dpm-torch import`))
    }
  })
})

describe('weights that are none', () => {
  const adam = {
    state: { 0: { step: 5, exp_avg: tensor, exp_avg_sq: tensor } },
    param_groups: [{ lr: 1e-4, params: [0] }],
  }

  test.each<[string, Parameters<typeof torchZip>[0], RegExp]>([
    ['an optimizer', adam, /state of an optimizer/],
    ['an optimizer one level down', { optimizer: adam.state }, /state of an optimizer/],
    ['an optimizer that has not begun', { state: {}, param_groups: [{ lr: 1 }] }, /state of an optimizer/],
    ['a learning rate schedule', { last_epoch: 4, base_lrs: [1] }, /learning rate schedule/],
    ['a loss scaler', { scale: 65536, growth_factor: 2 }, /loss scaler/],
    ['nothing', {}, /no tensors/],
    ['LoRA', { 'unet.down.lora_A.weight': tensor }, /LoRA.*Merge/],
    ['Stable Diffusion', { 'first_stage_model.encoder.conv_in.weight': tensor }, /Stable Diffusion/],
    ['an autoencoder', { 'encoder.conv_in.weight': tensor, 'decoder.conv_in.weight': tensor }, /autoencoder/],
    [
      'the file of a folder of diffusers',
      { 'conv_in.weight': tensor, 'time_embedding.linear_1.weight': tensor },
      /folder that has its config\.json/,
    ],
    ['a network of another kind', { 'backbone.layer.weight': tensor }, /it holds backbone\.layer\.weight/],
  ])('%s', async (_, content, message) => {
    await using source = await ImportSource.open(await write(torchZip(content)))
    for (const importer of Object.values(importers)) expect(await importer.recognises(source)).toBe(false)
    expect(await contentText(source)).toMatch(message)
  })

  test('folders', async () => {
    const place = join(folder, 'a folder')
    await mkdir(place)
    const text = async (): Promise<string> => {
      await using source = await ImportSource.open(place)
      return contentText(source)
    }
    expect(await text()).toMatch(/empty folder/)
    await writeFile(join(place, 'notes.txt'), '')
    expect(await text()).toMatch(/without weights: notes\.txt/)
    await writeFile(join(place, 'net.pth'), '')
    expect(await text()).toMatch(/with net\.pth\. Import one of these/)
  })
})

describe('configurations in JSON', () => {
  const read = async (bytes: Uint8Array | string): Promise<unknown> => {
    const place = await mkdtemp(join(folder, 'json-'))
    await writeFile(join(place, 'config.json'), bytes)
    await using source = await ImportSource.open(place)
    return source.json('config.json')
  }

  test('byte order marks, UTF-16 either way, and the numbers of Python', async () => {
    const text = '{"a": [NaN, Infinity, -Infinity, "NaN \\" Infinity"]}'
    const value = { a: [null, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 'NaN " Infinity'] }
    const little = Buffer.from(`\ufeff${text}`, 'utf16le')
    for (const bytes of [text, `\ufeff${text}`, little, Buffer.from(little).swap16()])
      expect(await read(bytes)).toEqual(value)
  })

  test('300 KB of escaped quotes, 200,000 lists, 20 MB: refused at once', async () => {
    const start = performance.now()
    expect(await messageOf(read('"\\'.repeat(150_000)))).toMatch(/cannot be read as JSON/)
    expect(await messageOf(read('['.repeat(200_000)))).toMatch(/inside one another/)
    expect(await messageOf(read(Buffer.alloc(20_000_000, ' ')))).toMatch(/20000000 bytes/)
    expect(performance.now() - start).toBeLessThan(5000)
  })
})

describe('elements in other forms', () => {
  test('8-bit numbers', () => {
    const values = (dtype: 'F8_E4M3' | 'F8_E5M2', ...bytes: number[]): number[] => [
      ...toFloat32(dtype, Uint8Array.from(bytes)),
    ]
    expect(values('F8_E4M3', 0x00, 0x01, 0x08, 0x38, 0xb8, 0x7e, 0x7f)).toEqual([
      0,
      2 ** -9,
      2 ** -6,
      1,
      -1,
      448,
      Number.NaN,
    ])
    expect(values('F8_E5M2', 0x00, 0x01, 0x04, 0x3c, 0xbc, 0x7b, 0x7c)).toEqual([
      0,
      2 ** -16,
      2 ** -14,
      1,
      -1,
      57344,
      Number.POSITIVE_INFINITY,
    ])
  })

  test.each([
    ['quantized', 'torch._utils', '_rebuild_qtensor', '(NK\x00(K\x02K\x03t(K\x03K\x01tN\x89Nt'],
    ['sparse', 'torch._utils', '_rebuild_sparse_tensor', '(N(NN(K\x02K\x03t\x88tt'],
    ['on the device "meta"', 'torch._utils', '_rebuild_meta_tensor_no_storage', '(N(K\x02K\x03t(K\x03K\x01t\x89t'],
  ])('a tensor that is %s has a name and a shape, and says so when it is read', async (what, module, name, args) => {
    const pickle = Buffer.from(`\x80\x02}(U\x06weightc${module}\n${name}\n${args}Ru.`, 'latin1')
    await using archive = await openArchive(await write(torchZip({ a: tensor }, { 'data.pkl': pickle })))
    const found = archive.tensors.get('weight')
    expect(found?.shape).toEqual([2, 3])
    expect(await messageOf(found?.read() ?? Promise.resolve())).toContain(`is ${what}`)
  })

  test('a tensor of a class, and the hyperparameters of Lightning', async () => {
    const storage = '(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ'
    const pickle = Buffer.from(
      `\x80\x02}(U\x01actorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch.nn.parameter\nParameter\n(${storage}K\x00(K\x02K\x02t(K\x02K\x01t\x89Nt}tR` +
        'U\x01hclightning_fabric.utilities.data\nAttributeDict\n)\x81(U\x02lrK\x03uu.',
      'latin1',
    )
    await using archive = await openArchive(await write(torchZip({ a: tensor }, { 'data.pkl': pickle })))
    expect(archive.tensors.get('a')?.shape).toEqual([2, 2])
    expect(archive.values.get('h.lr')).toBe(3)
  })
})

test('wrappers are taken out of any names, in any order and number, and nothing else is', () => {
  const part = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/).filter((one) => one !== 'module')
  const wrapper = fc.constantFrom('module', '_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module')
  const names = fc.uniqueArray(fc.array(part, { minLength: 1, maxLength: 4 }), {
    maxLength: 8,
    selector: (parts) => parts.join('.'),
  })
  fc.assert(
    fc.property(names, fc.array(wrapper, { maxLength: 3 }), fc.nat(3), (all, wrappers, at) => {
      const weights = new Map(
        all.map((parts) => [parts.toSpliced(Math.min(at, parts.length), 0, ...wrappers).join('.'), parts]),
      )
      const found = unwrapped(weights as unknown as Parameters<typeof unwrapped>[0])
      expect([...found]).toEqual(all.map((parts) => [parts.join('.'), parts]))
    }),
  )
})
