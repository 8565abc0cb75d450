/** Milestones of denoising-diffusion-pytorch, as its trainer writes them, become the model that they were there. */
import { describe, expect, test } from 'vitest'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { Diffusion } from '../../lib/generation/diffusion.js'
import { parseAssignment } from '../../lib/options/assign.js'
import type { SpacingOptions } from '../../lib/sampling/spacings/list.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { type Saved, SavedTensor, torchZip } from '../unit/torch-writer.js'
import { ImportFolder, setOf } from './hold-import.js'
import { type ImportFixture, readImportFixture, stateDict } from './import-fixture.js'
import { decodeFloats, distance, drawImages, elementCount } from './network-fixture.js'

const folder = new ImportFolder('milestones')
const format = 'denoising-diffusion-pytorch'
const scalar = (): SavedTensor => new SavedTensor(new BigInt64Array(1), [], 'LongStorage')

/** The state dict of a `GaussianDiffusion`: its buffers, then the U-Net's tensors. */
function diffusionOf(fixture: ImportFixture, copy: string, changes: Readonly<Record<string, Float32Array>> = {}) {
  const values = { ...fixture.values, ...changes }
  const buffers = Object.entries(values).map(([name, stored]): [string, SavedTensor] => {
    const floats = typeof stored === 'string' ? decodeFloats(stored) : stored
    return [name, new SavedTensor(floats, [floats.length])]
  })
  const weights = [...stateDict(fixture, copy)].map(([name, tensor]): [string, SavedTensor] => [
    `model.${name}`,
    tensor,
  ])
  return new Map([...buffers, ...weights])
}

function prefixed(prefix: string, tensors: ReadonlyMap<string, SavedTensor>): [string, SavedTensor][] {
  return [...tensors].map(([name, tensor]) => [`${prefix}${name}`, tensor])
}

/** What `Trainer.save` writes. */
function milestone(fixture: ImportFixture, changes: Readonly<Record<string, Float32Array>> = {}): Buffer {
  const model = diffusionOf(fixture, 'trained', changes)
  const ema: ReadonlyMap<string, Saved> = new Map<string, Saved>([
    ['initted', scalar()],
    ['step', scalar()],
    ...prefixed('online_model.', model),
    ...prefixed('ema_model.', diffusionOf(fixture, 'averaged', changes)),
  ])
  const opt = { state: {}, param_groups: [{ lr: 1e-4, betas: [0.9, 0.99], params: [0, 1] }] }
  return torchZip({ step: 7000, model, opt, ema, scaler: null, version: '2.3.4' })
}

/** The last state of a DDIM run of the averaged copy from the fixture's start. */
async function ddim(
  path: string,
  fixture: ImportFixture,
  steps: number,
  spacing: SpacingOptions,
): Promise<Float32Array> {
  const { channels, height, width } = fixture.image
  const shape = [fixture.labels.length, channels, height, width]
  using model = await Diffusion.load(path, { device: 'cpu' })
  using initial = Tensor.from(drawImages('input', shape), shape)
  let last = new Float32Array(elementCount(shape))
  for await (const { x, clean } of model.sampleSteps({ count: 2, sampler: 'ddim', steps, spacing, initial })) {
    last = new Float32Array(await x.data())
    x.dispose()
    clean.dispose()
  }
  return last
}

describe('a milestone', () => {
  test('of version 2 has its settings in its tensors and its objective in the weights of its loss', async () => {
    const fixture = readImportFixture('milestone')
    const out = await folder.hold(fixture, await folder.write('model-7.pt', milestone(fixture)), {
      format,
      settings: {
        network: {
          kind: 'linear-attention-unet',
          channels: 8,
          multipliers: [1, 2, 3],
          fullAttention: [false, false, true],
          heads: [1, 2, 3],
          headChannels: [8, 4, 6],
          memory: 4,
          norm: 'rms',
        },
        diffusion: {
          schedule: { kind: 'sigmoid', steps: 1000, start: -3, end: 3, temperature: 1 },
          prediction: { kind: 'velocity' },
          weighting: { kind: 'snr' },
          variance: 'fixed-small',
          timeLabel: 'step',
        },
      },
      step: 7000,
      copies: ['trained', 'averaged'],
    })
    // Their times are those of "trailing" where the steps divide the times.
    const found = await ddim(out, fixture, 5, 'trailing')
    expect(fixture.ddim?.times).toEqual([999, 799, 599, 399, 199])
    expect(distance(found, decodeFloats(fixture.ddim?.images ?? '')).largest).toBeLessThan(1e-5)
  })

  test('of version 1.9 has group norms; bounded weights of the loss are min-SNR; its DDIM rounds times down', async () => {
    const fixture = readImportFixture('milestone-1.9')
    const out = await folder.hold(fixture, await folder.write('model-8.pt', milestone(fixture)), {
      format,
      settings: {
        network: { multipliers: [1, 2], norm: 'group', groups: 4, memory: 4, heads: [4, 4], headChannels: [32, 32] },
        diffusion: {
          schedule: { kind: 'cosine', steps: 100 },
          prediction: { kind: 'noise' },
          weighting: { kind: 'min-snr', gamma: expect.closeTo(4, 4) },
        },
      },
      step: 7000,
      copies: ['trained', 'averaged'],
    })
    const times = fixture.ddim?.times ?? []
    const found = await ddim(out, fixture, 6, { kind: 'times', times })
    expect(distance(found, decodeFloats(fixture.ddim?.images ?? '')).largest).toBeLessThan(1e-5)
  })
})

describe('a state dict', () => {
  test('of LearnedGaussianDiffusion has a learned variance', async () => {
    const fixture = readImportFixture('milestone-learned-variance')
    await folder.hold(fixture, await folder.write('diffusion.pt', torchZip(diffusionOf(fixture, 'trained'))), {
      format,
      settings: {
        network: { inputMultiplier: 1.5, fullAttention: [true, false], memory: 4 },
        diffusion: {
          schedule: { kind: 'linear', steps: 90, scaleToSteps: true },
          prediction: { kind: 'noise' },
          variance: 'learned-range',
          bound: { kind: 'hybrid' },
        },
      },
      step: 0,
      copies: ['trained'],
    })
  })

  test('of classifier_free_guidance.py has classes and none, and no memory that shows its heads', async () => {
    const fixture = readImportFixture('milestone-classes')
    const source = await folder.write('classes.pt', torchZip(diffusionOf(fixture, 'trained')))
    await folder.hold(fixture, source, {
      format,
      settings: {
        network: { memory: 0, halvingKernel: 4, fullAttention: [false, false], classConditional: true, heads: [4] },
        diffusion: { schedule: { kind: 'cosine', steps: 80 }, prediction: { kind: 'clean' } },
      },
      classes: 3,
      step: 0,
      copies: ['trained'],
    })
    const set = [parseAssignment('imageSize=8')]
    await expect(importCheckpoint(source, { out: folder.file('never'), set })).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      details: { options: ['heads'] },
    })
  })

  test('of the U-Net alone leaves the process open', async () => {
    const fixture = readImportFixture('milestone')
    const source = await folder.write('unet.pt', torchZip(stateDict(fixture, 'trained')))
    const imported = (...texts: string[]) => {
      return importCheckpoint(source, { out: folder.file('unet.safetensors'), set: texts.map(parseAssignment) })
    }
    await expect(imported()).rejects.toMatchObject({ details: { options: ['noiseSchedule', 'diffusionSteps'] } })
    const schedule = ['noiseSchedule=linear', 'diffusionSteps=1000']
    await expect(imported(...schedule)).rejects.toMatchObject({ details: { options: ['imageSize', 'objective'] } })
    const { settings } = await imported(...schedule, 'imageSize=8', 'objective=pred_x0')
    expect(settings.diffusion).toMatchObject({
      schedule: { kind: 'linear', steps: 1000 },
      prediction: { kind: 'clean' },
    })
  })
})

describe('what a milestone says otherwise', () => {
  const fixture = readImportFixture('milestone')
  const importing = async (bytes: Buffer, ...texts: string[]) => {
    const source = await folder.write('other.pt', bytes)
    const set = [...setOf(fixture), ...texts.map(parseAssignment)]
    return importCheckpoint(source, { out: folder.file('other.safetensors'), set })
  }
  const betas = decodeFloats(fixture.values?.['betas'] ?? '')

  test('betas of no schedule of the package are refused, or taken as they are', async () => {
    const bent = betas.map((beta, time) => (time === 50 ? beta * 1.001 : beta))
    await expect(importing(milestone(fixture, { betas: bent }))).rejects.toThrow(
      /1000 betas.*none of the schedules.*noiseSchedule=betas/,
    )
    const { settings } = await importing(milestone(fixture, { betas: bent }), 'noiseSchedule=betas', 'objective=pred_v')
    expect(settings.diffusion.schedule).toEqual({ kind: 'betas', betas: [...bent], zeroTerminalSnr: false })
  })

  test('a schedule or an objective that the file contradicts is refused', async () => {
    await expect(importing(milestone(fixture), 'noiseSchedule=cosine')).rejects.toThrow(
      /are those of "sigmoid", not of "cosine"/,
    )
    await expect(importing(milestone(fixture), 'objective=pred_x0')).rejects.toThrow(/those of pred_v, not of pred_x0/)
  })

  test('weights of the loss that are of no objective leave it open', async () => {
    const other = milestone(fixture, { loss_weight: new Float32Array(1000).fill(2) })
    await expect(importing(other)).rejects.toMatchObject({ details: { options: ['objective'] } })
  })
})

describe('is refused by what differs', () => {
  const fixture = readImportFixture('milestone')
  const refusal = async (change: (tensors: Map<string, SavedTensor>) => void): Promise<unknown> => {
    const tensors = stateDict(fixture, 'trained')
    change(tensors)
    const source = await folder.write('refused.pt', torchZip({ step: 1, model: new Map(prefixed('model.', tensors)) }))
    return importCheckpoint(source, { out: folder.file('never'), set: setOf(fixture) }).catch((error: unknown) => error)
  }
  const zeros = (...shape: number[]): SavedTensor => new SavedTensor(new Float32Array(elementCount(shape)), shape)

  test('a network that is told its last clean image', async () => {
    const error = await refusal((tensors) => tensors.set('init_conv.weight', zeros(8, 6, 7, 7)))
    expect(error).toMatchObject({ code: 'DPM_FILE_INVALID', message: expect.stringMatching(/self-conditioned/) })
  })

  test('a version whose convolutions had standardised weights', async () => {
    const error = await refusal((tensors) => {
      tensors.set('downs.0.0.block1.norm.weight', zeros(8))
      tensors.set('downs.0.2.fn.fn.to_qkv.weight', zeros(24, 8, 1, 1))
    })
    expect(error).toMatchObject({
      code: 'DPM_FILE_INVALID',
      message: expect.stringMatching(/before version 1\.8.*fromTorchScript/),
    })
  })

  test('a network of sequences', async () => {
    const error = await refusal((tensors) => tensors.set('init_conv.weight', zeros(8, 3, 7)))
    expect(error).toMatchObject({ code: 'DPM_FILE_INVALID', message: expect.stringMatching(/not those of images/) })
  })
})
