/**
 * Weights as training programs keep them: wrapped, nested, averaged, several in a file, of other element types. Each becomes the
 * checkpoint that the plain file becomes, or is told for what it is.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Checkpoint } from '../../lib/checkpoints/checkpoint.js'
import { type ImportReport, importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { type TensorSource, writeSafetensors } from '../../lib/checkpoints/safetensors.js'
import { DpmError } from '../../lib/errors.js'
import { parseAssignment } from '../../lib/options/assign.js'
import { readImportFixture, stateDict } from '../parity/import-fixture.js'
import { type Saved, SavedTensor, torchLegacy, torchZip } from '../unit/torch-writer.js'

const fixture = readImportFixture('improved-diffusion')
const set = Object.entries(fixture.set).map(([name, value]) => parseAssignment(`${name}=${JSON.stringify(value)}`))
const trained = stateDict(fixture, 'trained')
const averaged = stateDict(fixture, 'averaged')

let folder: string
let plain: ReadonlyMap<string, Buffer>
let plainAverage: ReadonlyMap<string, Buffer>
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-copies-'))
  plain = await networkOf((await imported(torchZip(trained))).path)
  plainAverage = await networkOf((await imported(torchZip(averaged))).path)
})
afterAll(() => rm(folder, { recursive: true }))

let files = 0
async function imported(bytes: Buffer, more: readonly string[] = [], format?: string): Promise<ImportReport> {
  const source = join(folder, `source-${files++}.pt`)
  await writeFile(source, bytes)
  const options = { out: `${source}.safetensors`, set: [...set, ...more.map(parseAssignment)] }
  return importCheckpoint(source, { ...options, ...(format ? { format } : {}) })
}

/** The bytes of one copy in a checkpoint, by parameter. */
async function networkOf(path: string, copy = 'network'): Promise<ReadonlyMap<string, Buffer>> {
  await using checkpoint = await Checkpoint.open(path)
  const names = checkpoint.names(copy)
  const entries = names.map(
    async (name) => [name.slice(copy.length + 1), Buffer.from(await checkpoint.read(name))] as const,
  )
  return new Map(await Promise.all(entries))
}

function isSame(a: ReadonlyMap<string, Buffer>, b: ReadonlyMap<string, Buffer>): boolean {
  return a.size === b.size && [...a].every(([name, bytes]) => b.get(name)?.equals(bytes))
}

const under = (prefix: string, tensors: ReadonlyMap<string, SavedTensor> = trained): [string, SavedTensor][] =>
  [...tensors].map(([name, tensor]) => [`${prefix}${name}`, tensor])
const number = (value: number): SavedTensor => new SavedTensor(BigInt64Array.of(BigInt(value)), [], 'LongStorage')

const rejected = async (promise: Promise<unknown>): Promise<DpmError> => {
  const error: unknown = await promise.catch((caught: unknown) => caught)
  if (error instanceof DpmError) return error
  throw new Error(`expected a DpmError, not ${String(error)}`)
}

describe('what stands before all names is taken off', () => {
  const prefixes = [
    'module.',
    '_orig_mod.',
    'module._orig_mod.',
    '_orig_mod.module.',
    'module.module.',
    '_fsdp_wrapped_module.',
    'model.',
    'net.',
    'unet.',
    'diffusion.model.',
    'model.module.diffusion_model._orig_mod.',
  ]
  test.each(prefixes)('%s', async (prefix) => {
    const bytes = torchZip(new Map(under(prefix)))
    for (const format of [undefined, 'improved-diffusion']) {
      const report = await imported(bytes, [], format)
      expect(report).toMatchObject({ format: 'improved-diffusion', copies: ['network'], notes: [] })
      expect(isSame(await networkOf(report.path), plain)).toBe(true)
    }
  })

  test('in files of before PyTorch 1.6, and in safetensors', async () => {
    const legacy = await imported(torchLegacy(new Map(under('module.'))))
    expect(isSame(await networkOf(legacy.path), plain)).toBe(true)
    const path = join(folder, 'module.safetensors')
    const sources = under('_orig_mod.module.').map(([name, { shape, bytes }]): TensorSource => {
      return { name, dtype: 'F32', shape, read: async () => bytes }
    })
    await writeSafetensors(path, sources, {})
    const stored = await imported(await readFile(path))
    expect(isSame(await networkOf(stored.path), plain)).toBe(true)
  })

  test('a wrapper of one layer alone, as torch.compile of a part leaves it', async () => {
    const names = new Map(
      [...trained].map(([name, tensor]) => [name.replace(/^middle_block\./, 'middle_block._orig_mod.'), tensor]),
    )
    expect(isSame(await networkOf((await imported(torchZip(names))).path), plain)).toBe(true)
  })
})

describe('weights one level down, and copies beside each other', () => {
  const adam = {
    state: { 0: { step: 5, exp_avg: new SavedTensor(new Float32Array(2), [2]) } },
    param_groups: [{ lr: 1e-4 }],
  }

  test.each<[string, Saved, number]>([
    ['state_dict', { state_dict: trained, epoch: 3 }, 0],
    ['model, with an optimizer', { model: trained, optimizer: adam, step: 70 }, 70],
    ['model_state_dict', { model_state_dict: trained, optimizer_state_dict: adam }, 0],
    ['net_model', { net_model: trained }, 0],
    [
      'Lightning',
      {
        state_dict: new Map(under('model.')),
        hyper_parameters: { lr: 0.1 },
        global_step: 9,
        'pytorch-lightning_version': '2.4',
      },
      9,
    ],
    ['three levels', { a: { b: { c: trained } } }, 0],
  ])('%s', async (_, content, step) => {
    const report = await imported(torchZip(content))
    expect(report).toMatchObject({ copies: ['network'], settings: { step } })
    expect(isSame(await networkOf(report.path), plain)).toBe(true)
  })

  test.each<[string, Saved]>([
    ['model and ema', { model: trained, ema: averaged }],
    ['ema before model', { ema: averaged, model: trained }],
    [
      'net_model and ema_model, as in one popular CIFAR-10 program',
      { net_model: trained, ema_model: averaged, x_T: number(0) },
    ],
    ['state_dict and state_dict_ema', { state_dict: trained, state_dict_ema: averaged }],
    [
      'Lightning with an average beside the model',
      { state_dict: new Map([...under('net.'), ...under('net_ema.module.', averaged)]) },
    ],
    [
      'ema-pytorch beside the model',
      {
        model: trained,
        ema: new Map<string, Saved>([
          ['initted', number(1)],
          ['step', number(4)],
          ...under('online_model.'),
          ...under('ema_model.', averaged),
        ]),
      },
    ],
    [
      'ema-pytorch alone',
      new Map<string, Saved>([
        ['initted', number(1)],
        ['step', number(4)],
        ...under('online_model.'),
        ...under('ema_model.', averaged),
      ]),
    ],
    [
      'a list without names, in the order of the parameters',
      { model: trained, ema: { decay: 0.99, num_updates: 4, shadow_params: [...averaged.values()] } },
    ],
    [
      'names without their dots, as latent-diffusion keeps them',
      {
        state_dict: new Map([
          ...under('model.diffusion_model.'),
          ...[...averaged].map(([name, tensor]): [string, SavedTensor] => [
            `model_ema.diffusion_model${name.replaceAll('.', '')}`,
            tensor,
          ]),
          ['model_ema.decay', number(1)] as [string, SavedTensor],
          ['model_ema.num_updates', number(1)] as [string, SavedTensor],
        ]),
      },
    ],
  ])('%s: both arrive, the average to draw with', async (_, content) => {
    const report = await imported(torchZip(content))
    expect(report.copies).toEqual(['network', 'average.0'])
    expect(isSame(await networkOf(report.path), plain)).toBe(true)
    expect(isSame(await networkOf(report.path, 'average.0'), plainAverage)).toBe(true)
  })

  test('AveragedModel of torch.optim.swa_utils is averaged', async () => {
    const report = await imported(torchZip(new Map([['n_averaged', number(7)], ...under('module.', averaged)])))
    expect(isSame(await networkOf(report.path), plainAverage)).toBe(true)
  })

  test('of two trained networks one must be chosen; a choice takes that alone', async () => {
    const both = torchZip({ first: trained, second: averaged })
    const error = await rejected(imported(both))
    expect(error).toMatchObject({
      code: 'DPM_INVALID_OPTION',
      details: { options: ['weights'], places: ['first', 'second'] },
    })
    expect(error.message).toMatch(/first, second.*--set weights=/)
    const report = await imported(both, ['weights=second'])
    expect(report.copies).toEqual(['network'])
    expect(isSame(await networkOf(report.path), plainAverage)).toBe(true)
    const ema = torchZip({ model: trained, ema: { ema_model: averaged } })
    expect(isSame(await networkOf((await imported(ema, ['weights=ema'])).path), plainAverage)).toBe(true)
    expect((await rejected(imported(both, ['weights=third']))).message).toMatch(
      /one of first, second for `weights`.*"third"/,
    )
  })

  test('what is left aside is said, but for counters and schedules', async () => {
    const content = {
      model: new Map([...under(''), ['betas', new SavedTensor(new Float32Array(9), [9])] as [string, SavedTensor]]),
      vae: { 'conv.weight': new SavedTensor(new Float32Array(4), [2, 2]) },
    }
    expect((await imported(torchZip(content))).notes).toEqual(['Left aside: vae (1 tensors).'])
  })
})

describe('numbers', () => {
  const changed = (change: (name: string, values: Float32Array) => SavedTensor | undefined): Buffer =>
    torchZip(
      new Map(
        [...trained].map(([name, tensor]) => {
          const values = new Float32Array(Uint8Array.from(tensor.bytes).buffer)
          return [name, change(name, values) ?? tensor]
        }),
      ),
    )
  const [first = '', second = ''] = trained.keys()

  test('NaN and infinities are counted by tensor; nothing is written unless they are allowed', async () => {
    const bad = changed((name, values) => {
      if (name !== first && name !== second) return undefined
      values[0] = Number.NaN
      if (name === second) values[1] = Number.NEGATIVE_INFINITY
      return new SavedTensor(values, trained.get(name)?.shape ?? [])
    })
    const error = await rejected(imported(bad))
    expect(error.code).toBe('DPM_NON_FINITE')
    expect(error.message).toMatch(
      /3 of \d+ weights are NaN or infinite as float32: 2 in network\.\S+, 1 in network\.\S+ *\. .*--allow-non-finite/,
    )
    const source = join(folder, 'bad.pt')
    await writeFile(source, bad)
    const report = await importCheckpoint(source, { out: `${source}.safetensors`, set, allowNonFinite: true })
    expect(report.notes.join(' ')).toMatch(/3 of \d+ weights are NaN or infinite/)
  })

  test('float64 and bfloat16 arrive as float32; what overflows is told of', async () => {
    const wide = changed(
      (name, values) => new SavedTensor(Float64Array.from(values), trained.get(name)?.shape ?? [], 'DoubleStorage'),
    )
    expect(isSame(await networkOf((await imported(wide)).path), plain)).toBe(true)
    const huge = changed((name, values) => {
      if (name !== first) return undefined
      return new SavedTensor(
        Float64Array.from(values, () => 1e300),
        trained.get(name)?.shape ?? [],
        'DoubleStorage',
      )
    })
    expect((await rejected(imported(huge))).code).toBe('DPM_NON_FINITE')
    const half = changed((name, values) => {
      const words = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16)
      return new SavedTensor(words, trained.get(name)?.shape ?? [], 'BFloat16Storage')
    })
    expect((await imported(half)).copies).toEqual(['network'])
  })
})
