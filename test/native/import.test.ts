/** The seam of imports: a source's settings and tensors become a checkpoint, or an error that lists what does not fit. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { type TensorSource, writeSafetensors } from '../../lib/checkpoints/safetensors.js'
import { DpmError } from '../../lib/errors.js'
import { Diffusion } from '../../lib/generation/diffusion.js'
import type { GenerateOptions } from '../../lib/generation/generate.js'
import { Network } from '../../lib/networks/network.js'
import { parseAssignment } from '../../lib/options/assign.js'

const image = { channels: 3, height: 8, width: 8 } as const
const network = {
  kind: 'unet',
  channels: 8,
  multipliers: [1, 2],
  blocks: 1,
  attentionResolutions: [4],
  groups: 4,
} as const
const model = { network: { ...network, zeroLayers: 'none' }, diffusion: { schedule: { kind: 'cosine', steps: 50 } } }

let folder: string
let tensors: TensorSource[]
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-import-'))
  const { kind, ...options } = model.network
  using first = await Network.create(
    kind,
    { ...options, multipliers: [...options.multipliers], attentionResolutions: [4], zeroLayers: 'none' },
    { image, seed: 3, device: 'cpu' },
  )
  tensors = await Promise.all(
    first.parameters.map(async ({ name, shape }): Promise<TensorSource> => {
      using tensor = await first.read(name)
      const bytes = new Uint8Array((await tensor.data()).buffer)
      return { name, dtype: 'F32', shape, read: async () => bytes }
    }),
  )
})
afterAll(() => rm(folder, { recursive: true }))

async function write(
  name: string,
  sources: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
): Promise<string> {
  const path = join(folder, name)
  await writeSafetensors(path, sources, metadata)
  return path
}

const metadata = {
  format: 'dpm-torch-parameters',
  model: JSON.stringify(model),
  image: JSON.stringify(image),
  step: '7',
}

const rejected = async (promise: Promise<unknown>): Promise<DpmError> => {
  const error: unknown = await promise.catch((caught: unknown) => caught)
  if (error instanceof DpmError) return error
  throw new Error(`expected a DpmError, not ${String(error)}`)
}

describe('import', () => {
  test('settings and every tensor arrive, to the bit; the checkpoint opens like any other', async () => {
    const source = await write('own.safetensors', tensors, metadata)
    const out = join(folder, 'imported.safetensors')
    const report = await importCheckpoint(source, { out, set: [parseAssignment('diffusion.variance=fixed-small')] })
    expect(report).toMatchObject({ path: out, format: 'parameters', copies: ['network'] })
    using loaded = await Diffusion.load(out, { device: 'cpu' })
    expect(loaded.settings).toMatchObject({ ...model, diffusion: { ...model.diffusion, variance: 'fixed-small' } })
    expect(loaded).toMatchObject({ image, step: 7, classes: [] })
    for (const { name, read } of tensors) {
      using parameter = await loaded.network.read(name)
      expect(Buffer.from((await parameter.data()).buffer).equals(await read()), name).toBe(true)
    }
  })

  test('settings in a file name no program', async () => {
    const program = {
      ...metadata,
      model: JSON.stringify({ ...model, network: { kind: 'torch-script', file: 'module.pt' } }),
    }
    const source = await write('program.safetensors', tensors, program)
    const error = await rejected(importCheckpoint(source, { out: join(folder, 'program-imported.safetensors') }))
    expect(error.message).toMatch(/names a file of a program as its network, "module\.pt"/)
  })

  test('settings that the file does not hold come from --set', async () => {
    const source = await write('bare.safetensors', tensors, {})
    const out = join(folder, 'bare-imported.safetensors')
    const settings = { network: model.network, image }
    const set = Object.entries(settings).map(([name, value]) => parseAssignment(`${name}=${JSON.stringify(value)}`))
    await importCheckpoint(source, { out, format: 'parameters', set })
    using loaded = await Diffusion.load(out, { device: 'cpu' })
    expect(loaded.settings.network).toMatchObject(network)
  })

  test('how the model is sampled arrives too, and holds where a call does not say', async () => {
    const source = await write('sampled.safetensors', tensors, metadata)
    const out = join(folder, 'sampled-imported.safetensors')
    const set = ['sampling.sampler.kind=dpm++2m', 'sampling.steps=4', 'sampling.spacing=linspace'].map(parseAssignment)
    expect((await importCheckpoint(source, { out, set })).notes).toEqual([])
    using loaded = await Diffusion.load(out, { device: 'cpu' })
    const times = (options: GenerateOptions): number[] =>
      loaded.record(options).instructions.flatMap((one) => (one.op === 'evaluate' ? [one.cNoise] : []))
    expect(loaded.record({}).name).toBe('dpm++2m')
    expect(times({})).toEqual([49, 33, 16, 0])
    expect(times({ steps: 2 })).toEqual([49, 0])
    expect(loaded.stepsOf({ sampler: 'ddpm' })).toBe(50)
    expect(loaded.record({ sampler: 'ddim', steps: 2 }).name).toBe('ddim')
    expect((await loaded.sample({ count: 1 })).length).toBe(1)
  })

  test('tensors that do not fit are listed: missing, extra, wrong shape, with the nearest name; nothing is written', async () => {
    const changed = tensors.map((tensor): TensorSource => {
      if (tensor.name === 'middle.block1.conv1.weight') return { ...tensor, name: 'middle.block1.conv_1.weight' }
      if (tensor.name !== 'output.conv.bias') return tensor
      return { ...tensor, shape: [5], read: async () => new Uint8Array(20) }
    })
    const source = await write('unfit.safetensors', changed, metadata)
    const before = await readdir(folder)
    const error = await rejected(importCheckpoint(source, { out: join(folder, 'unfit-imported.safetensors') }))
    expect(error.code).toBe('DPM_FILE_INVALID')
    const lines = error.message.split('\n').slice(1)
    expect(lines).toEqual([
      '  missing: middle.block1.conv1.weight (for middle.block1.conv1.weight); the nearest name there is middle.block1.conv_1.weight of 16×16×3×3',
      '  extra: middle.block1.conv_1.weight of 16×16×3×3; the nearest name wanted is middle.block1.conv1.weight',
      '  wrong shape: output.conv.bias gives 5, but output.conv.bias is 3',
    ])
    expect(error.details).toEqual({
      missing: ['middle.block1.conv1.weight'],
      extra: ['middle.block1.conv_1.weight'],
      misshapen: ['output.conv.bias'],
    })
    expect(await readdir(folder)).toEqual(before)
  })

  test('what cannot be imported is said with the choices', async () => {
    const source = await write('foreign.safetensors', tensors, {})
    const out = join(folder, 'foreign-imported.safetensors')
    const expectations: readonly [() => Promise<unknown>, string, RegExp][] = [
      [() => importCheckpoint(source, { out }), 'DPM_FILE_INVALID', /none of the formats .* parameters.*--format/],
      [
        () => importCheckpoint(source, { out, format: 'parameter' }),
        'DPM_INVALID_OPTION',
        /one of parameters.* received "parameter"/,
      ],
      [() => importCheckpoint(source, { out, format: 'parameters' }), 'DPM_INVALID_OPTION', /`network/],
      [
        () => importCheckpoint(source, { out, set: [parseAssignment('heads=3')], format: 'parameters' }),
        'DPM_INVALID_OPTION',
        /`heads`/,
      ],
      [() => importCheckpoint(source, { out: source, format: 'parameters' }), 'DPM_INVALID_OPTION', /another file/],
      [() => importCheckpoint(join(folder, 'none'), { out }), 'DPM_FILE_MISSING', /no file or folder/],
    ]
    for (const [attempt, code, message] of expectations) {
      const error = await rejected(attempt())
      expect(error.message).toMatch(message)
      expect(error.code).toBe(code)
    }
    const text = join(folder, 'text.txt')
    await writeFile(text, 'hello there')
    expect((await rejected(importCheckpoint(text, { out }))).message).toMatch(/begins with the bytes 68 65/)
  })
})
