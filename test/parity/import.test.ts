/** Models of other programs, imported from files as those write them, compute what they computed there. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { Diffusion } from '../../lib/generation/diffusion.js'
import type { ModelSettings } from '../../lib/generation/model-options.js'
import { memory } from '../../lib/native/memory.js'
import { parseAssignment } from '../../lib/options/assign.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { type Saved, SavedTensor, torchLegacy, torchZip } from '../unit/torch-writer.js'
import { type ImportFixture, readImportFixture, stateDict } from './import-fixture.js'
import { decodeFloats, distance, drawImages } from './network-fixture.js'

/** A float32 network against a float64 reference. */
const tolerance = 1e-5

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dpm-import-parity-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  expect(memory()).toMatchObject({ tensors: 0, networks: 0 })
})

interface Expected {
  readonly format: string
  /** Of the settings, what the importer had to find out. */
  readonly settings: { readonly [Part in keyof ModelSettings]?: object | string }
  readonly classes?: number
  readonly step: number
  /** The copy of the fixture in `network`, and those in `average.0` … */
  readonly copies: readonly string[]
}

async function write(name: string, bytes: Buffer): Promise<string> {
  const path = join(folder, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, bytes)
  return path
}

/** Imports what `write` left, and holds settings and every copy's output to the fixture. */
async function hold(fixture: ImportFixture, source: string, expected: Expected): Promise<void> {
  const out = join(folder, 'imported.safetensors')
  const set = Object.entries(fixture.set).map(([name, value]) => parseAssignment(`${name}=${JSON.stringify(value)}`))
  const report = await importCheckpoint(source, { out, set })
  expect(report.format).toBe(expected.format)
  expect(report.copies).toEqual(expected.copies.map((_, index) => (index === 0 ? 'network' : `average.${index - 1}`)))
  for (const [index, copy] of expected.copies.entries()) {
    using model = await Diffusion.load(out, { device: 'cpu', weights: index === 0 ? 'trained' : index - 1 })
    expect(model.settings).toMatchObject(expected.settings)
    expect(model).toMatchObject({ image: fixture.image, step: expected.step })
    expect(model.classes).toHaveLength(expected.classes ?? 0)
    const { l2, largest } = distance(await outputOf(model, fixture), decodeFloats(fixture.outputs[copy] ?? ''))
    expect(l2, copy).toBeLessThan(tolerance)
    expect(largest, copy).toBeLessThan(tolerance)
  }
}

async function outputOf(model: Diffusion, fixture: ImportFixture): Promise<Float32Array> {
  const { channels, height, width } = fixture.image
  const shape = [fixture.labels.length, channels, height, width]
  using x = Tensor.from(drawImages('input', shape), shape)
  const seen = [fixture.labels.length, fixture.condition, height, width]
  using image = Tensor.from(drawImages('objective', seen), seen)
  using pass = await model.network.forward(x, fixture.labels, {
    ...(fixture.classIndices ? { classes: fixture.classIndices } : {}),
    ...(fixture.condition > 0 ? { image } : {}),
    gradient: false,
  })
  using output = pass.output
  return output.data()
}

describe('improved-diffusion', () => {
  test('a folder with averaged weights; an older step and the optimizer are left alone', async () => {
    const fixture = readImportFixture('improved-diffusion')
    await write('improved/model000004.pt', torchZip({}))
    await write('improved/opt000012.pt', torchZip({}))
    await write('improved/model000012.pt', torchLegacy(stateDict(fixture, 'trained')))
    await write('improved/ema_0.9999_000012.pt', torchLegacy(stateDict(fixture, 'averaged')))
    await hold(fixture, join(folder, 'improved'), {
      format: 'improved-diffusion',
      settings: {
        network: {
          channels: 64,
          multipliers: [1, 2],
          blocks: 1,
          attentionResolutions: [8, 4],
          headLayout: 'interleaved',
          heads: 4,
          scaleShift: true,
        },
        diffusion: { schedule: { kind: 'cosine', steps: 4000 }, variance: 'learned-range', timeLabel: 'thousandths' },
      },
      classes: 3,
      step: 12,
      copies: ['trained', 'averaged'],
    })
  })

  test('one file: three levels, two blocks, attention in the middle of the way', async () => {
    const fixture = readImportFixture('improved-diffusion-deep')
    const source = await write('lsun.pt', torchZip(stateDict(fixture, 'trained')))
    await hold(fixture, source, {
      format: 'improved-diffusion',
      settings: {
        network: { multipliers: [1, 1, 2], blocks: 2, attentionResolutions: [4], scaleShift: false },
        diffusion: { schedule: { kind: 'linear', steps: 1000, scaleToSteps: true }, variance: 'fixed-large' },
      },
      step: 0,
      copies: ['trained'],
    })
  })
})

describe('guided-diffusion', () => {
  test('the new order of heads, classes, a learned variance', async () => {
    const fixture = readImportFixture('guided-diffusion')
    const source = await write('64x64_diffusion.pt', torchZip(stateDict(fixture, 'trained')))
    await hold(fixture, source, {
      format: 'guided-diffusion',
      settings: {
        network: { resampling: 'residual', headChannels: 16, headLayout: 'split' },
        diffusion: { variance: 'learned-range', timeLabel: 'step' },
      },
      classes: 5,
      step: 0,
      copies: ['trained'],
    })
  })

  test('half the channels at first; averaged weights alone stand for the network', async () => {
    const fixture = readImportFixture('guided-diffusion-512')
    const source = await write('ema_0.9999_000700.pt', torchZip(stateDict(fixture, 'averaged')))
    await hold(fixture, source, {
      format: 'guided-diffusion',
      settings: { network: { multipliers: [0.5, 0.5, 1], inputMultiplier: 0.5, headLayout: 'interleaved' } },
      step: 700,
      copies: ['averaged'],
    })
  })

  test('super-resolution', async () => {
    const fixture = readImportFixture('guided-diffusion-upsampler')
    const source = await write('64_256_upsampler.pt', torchZip(stateDict(fixture, 'trained')))
    await hold(fixture, source, {
      format: 'guided-diffusion',
      settings: {
        network: { conditionChannels: 3 },
        condition: { kind: 'low-resolution', factor: 4, enlarge: 'bilinear' },
        diffusion: { variance: 'learned-range' },
      },
      step: 0,
      copies: ['trained'],
    })
  })
})

describe('score-SDE', () => {
  test('model ddpm: averages are a list without names', async () => {
    const fixture = readImportFixture('score-sde-ddpm')
    const shadows = [...stateDict(fixture, 'averaged')].filter(([name]) => !fixture.buffers.includes(name))
    const model = [...stateDict(fixture, 'trained')].map(([name, tensor]): [string, Saved] => [
      `module.${name}`,
      tensor,
    ])
    const content = {
      optimizer: {},
      model: new Map(model),
      ema: { decay: 0.9999, num_updates: 26, shadow_params: shadows.map(([, tensor]) => tensor) },
      step: 26,
    }
    await hold(fixture, await write('checkpoint_26.pth', torchZip(content)), {
      format: 'score-sde',
      settings: {
        network: { multipliers: [1, 2, 2], blocks: 2, attentionResolutions: [4], decoderAttention: 'last' },
        diffusion: { schedule: { kind: 'vp-sde', betaMin: 0.1, betaMax: 20 }, prediction: { kind: 'noise' } },
      },
      step: 26,
      copies: ['trained', 'averaged'],
    })
    const short = { ...content, ema: { ...content.ema, shadow_params: content.ema.shadow_params.slice(1) } }
    const set = ['imageSize=8', 'sde=subvpsde'].map(parseAssignment)
    const source = await write('short.pth', torchZip(short))
    await expect(importCheckpoint(source, { out: join(folder, 'never'), set })).rejects.toThrow(
      /parameters and \d+ averages/,
    )
  })
})

describe('what no network of ours can express is refused by what differs', () => {
  const weight = new SavedTensor(new Float32Array(4), [4])
  const kernel = (size: number): SavedTensor => new SavedTensor(new Float32Array(size * size), [1, 1, size, size])

  test.each<[string, Record<string, SavedTensor>, RegExp]>([
    ['milestones', { 'model.init_conv.weight': kernel(7) }, /denoising-diffusion-pytorch.*first convolution is 7×7/],
    ['another version', { 'model.init_conv.weight': kernel(3), 'model.downs.0.0.block1.norm.g': weight }, /RMSNorm/],
  ])('%s', async (_, model, message) => {
    const source = await write('model-9.pt', torchZip({ step: 9, model }))
    await expect(importCheckpoint(source, { out: join(folder, 'never') })).rejects.toThrow(message)
  })

  test('NCSN++, by the first module that a ddpm does not have', async () => {
    const all = { 'module.all_modules.0.W': weight, 'module.all_modules.1.weight': weight }
    const source = await write('ncsnpp.pth', torchZip({ model: all, ema: { shadow_params: [weight] }, step: 1 }))
    await expect(importCheckpoint(source, { out: join(folder, 'never') })).rejects.toThrow(
      /all_modules.0 is other where time.in needs a linear.*NCSN\+\+/,
    )
  })
})

describe('what the weights do not show', () => {
  const out = (): string => join(folder, 'never.safetensors')
  const set = (...texts: string[]) => texts.map(parseAssignment)

  test('is asked for, all of it at once', async () => {
    const source = await write('ask.pt', torchZip(stateDict(readImportFixture('guided-diffusion'), 'trained') as Saved))
    await expect(importCheckpoint(source, { out: out() })).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      details: { options: ['imageSize', 'heads', 'headLayout', 'diffusionSteps', 'noiseSchedule'] },
    })
    await expect(
      importCheckpoint(source, {
        out: out(),
        set: set('imageSize=8', 'heads=3', 'headLayout=split', 'diffusionSteps=9', 'noiseSchedule=linear'),
      }),
    ).rejects.toThrow(/`network.heads = 3` to divide the channels/)
    await expect(importCheckpoint(source, { out: out(), set: set('head=3') })).rejects.toThrow(/Did you mean `heads`/)
  })

  test('a network that sees two images asks how they differ', async () => {
    const source = await write(
      'upsampler.pt',
      torchZip(stateDict(readImportFixture('guided-diffusion-upsampler'), 'trained') as Saved),
    )
    await expect(importCheckpoint(source, { out: out() })).rejects.toMatchObject({
      details: { options: ['superResolution'] },
    })
  })
})
