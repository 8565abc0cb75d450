/** Models of other programs, imported from files as those write them, compute what they computed there. */
import { describe, expect, test } from 'vitest'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { parseAssignment } from '../../lib/options/assign.js'
import { type Saved, SavedTensor, torchLegacy, torchZip } from '../unit/torch-writer.js'
import { ImportFolder } from './hold-import.js'
import { readImportFixture, stateDict } from './import-fixture.js'

const folder = new ImportFolder('import-parity')

describe('improved-diffusion', () => {
  test('a folder with averaged weights; an older step and the optimizer are left alone', async () => {
    const fixture = readImportFixture('improved-diffusion')
    await folder.write('improved/model000004.pt', torchZip({}))
    await folder.write('improved/opt000012.pt', torchZip({}))
    await folder.write('improved/model000012.pt', torchLegacy(stateDict(fixture, 'trained')))
    await folder.write('improved/ema_0.9999_000012.pt', torchLegacy(stateDict(fixture, 'averaged')))
    await folder.hold(fixture, folder.file('improved'), {
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
    const source = await folder.write('lsun.pt', torchZip(stateDict(fixture, 'trained')))
    await folder.hold(fixture, source, {
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
    const source = await folder.write('64x64_diffusion.pt', torchZip(stateDict(fixture, 'trained')))
    await folder.hold(fixture, source, {
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
    const source = await folder.write('ema_0.9999_000700.pt', torchZip(stateDict(fixture, 'averaged')))
    await folder.hold(fixture, source, {
      format: 'guided-diffusion',
      settings: { network: { multipliers: [0.5, 0.5, 1], inputMultiplier: 0.5, headLayout: 'interleaved' } },
      step: 700,
      copies: ['averaged'],
    })
  })

  test('super-resolution', async () => {
    const fixture = readImportFixture('guided-diffusion-upsampler')
    const source = await folder.write('64_256_upsampler.pt', torchZip(stateDict(fixture, 'trained')))
    await folder.hold(fixture, source, {
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
    await folder.hold(fixture, await folder.write('checkpoint_26.pth', torchZip(content)), {
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
    const source = await folder.write('short.pth', torchZip(short))
    await expect(importCheckpoint(source, { out: folder.file('never'), set })).rejects.toThrow(
      /parameters and \d+ averages/,
    )
  })
})

describe('what no network of ours can express is refused by what differs', () => {
  const weight = new SavedTensor(new Float32Array(4), [4])

  test('another network of score-SDE, by its first module', async () => {
    const all = {
      'module.all_modules.0.W': new SavedTensor(new Float32Array(1), [1, 1, 1, 1]),
      'module.all_modules.1.weight': weight,
    }
    const source = await folder.write('other.pth', torchZip({ model: all, ema: { shadow_params: [weight] }, step: 1 }))
    await expect(importCheckpoint(source, { out: folder.file('never') })).rejects.toThrow(
      /all_modules.0 is other where time.in needs a linear/,
    )
  })
})

describe('what the weights do not show', () => {
  const out = (): string => folder.file('never.safetensors')
  const set = (...texts: string[]) => texts.map(parseAssignment)

  test('is asked for, all of it at once', async () => {
    const source = await folder.write(
      'ask.pt',
      torchZip(stateDict(readImportFixture('guided-diffusion'), 'trained') as Saved),
    )
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
    const source = await folder.write(
      'upsampler.pt',
      torchZip(stateDict(readImportFixture('guided-diffusion-upsampler'), 'trained') as Saved),
    )
    await expect(importCheckpoint(source, { out: out() })).rejects.toMatchObject({
      details: { options: ['superResolution'] },
    })
  })
})
