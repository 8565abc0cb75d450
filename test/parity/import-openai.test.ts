/** Super-resolution models and classifiers of guided-diffusion, imported from files as it writes them, compute what they computed there. */
import { describe, expect, test } from 'vitest'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { parseAssignment } from '../../lib/options/assign.js'
import { type Saved, SavedTensor, torchZip } from '../unit/torch-writer.js'
import { ImportFolder } from './hold-import.js'
import { readImportFixture, stateDict } from './import-fixture.js'
import { elementCount } from './network-fixture.js'

const folder = new ImportFolder('import-openai')

describe('super-resolution of guided-diffusion', () => {
  test('small pictures are enlarged as its SuperResModel enlarges them', async () => {
    const fixture = readImportFixture('guided-diffusion-super-resolution')
    const source = await folder.write('super.pt', torchZip(stateDict(fixture, 'trained')))
    await folder.hold(fixture, source, {
      format: 'guided-diffusion',
      settings: { condition: { kind: 'low-resolution', factor: 2, enlarge: 'bilinear' } },
      classes: 3,
      step: 0,
      copies: ['trained'],
    })
  })

  test('the six levels of its models of 256×256 and of 512×512 do not say which it is', async () => {
    const widths = [1, 1, 2, 2, 4, 4]
    const shapes = new Map<string, readonly number[]>([
      ['time_embed.0.weight', [4, 1]],
      ['input_blocks.0.0.weight', [1, 6, 3, 3]],
      ['input_blocks.1.0.emb_layers.1.weight', [2, 4]],
      ['middle_block.1.qkv.weight', [12, 4, 1]],
      ['out.2.weight', [6, 1, 3, 3]],
    ])
    widths.forEach((width, level) => {
      const kernel = [width, width, 3, 3]
      for (const entry of [2 * level + 1, 2 * level + 2]) {
        if (entry < 12) shapes.set(`input_blocks.${entry}.0.in_layers.2.weight`, kernel)
      }
      for (const entry of [10 - 2 * level, 11 - 2 * level])
        shapes.set(`output_blocks.${entry}.0.in_layers.2.weight`, kernel)
      if (level > 0) shapes.set(`output_blocks.${11 - 2 * level}.1.in_layers.2.weight`, kernel)
    })
    const saved = [...shapes].map(([name, shape]): [string, Saved] => {
      return [name, new SavedTensor(new Float32Array(elementCount(shape)), shape)]
    })
    const source = await folder.write('128_512_upsampler.pt', torchZip(new Map(saved)))
    const known = ['heads=1', 'diffusionSteps=1000', 'noiseSchedule=linear'].map(parseAssignment)
    const set = [...known, parseAssignment('superResolution=4')]
    await expect(importCheckpoint(source, { out: folder.file('never'), set })).rejects.toMatchObject({
      details: { options: ['imageSize'] },
    })
  })
})

describe('classifiers of guided-diffusion', () => {
  test('the image size follows from the attention pool, the levels from widths and attention', async () => {
    const fixture = readImportFixture('guided-diffusion-classifier')
    const source = await folder.write('128x128_classifier.pt', torchZip(stateDict(fixture, 'trained')))
    await folder.hold(fixture, source, {
      format: 'guided-diffusion-classifier',
      settings: {
        network: {
          kind: 'encoder-unet',
          multipliers: [1, 1, 2],
          blocks: 2,
          attentionResolutions: [2],
          pool: 'attention',
          headChannels: 16,
          headLayout: 'interleaved',
          resampling: 'residual',
        },
        diffusion: { schedule: { kind: 'linear', steps: 1000 }, loss: 'cross-entropy', timeLabel: 'step' },
      },
      classes: 5,
      step: 0,
      copies: ['trained'],
    })
  })

  test('another pool; averaged weights alone', async () => {
    const fixture = readImportFixture('guided-diffusion-classifier-spatial')
    const source = await folder.write('ema_0.999_000300.pt', torchZip(stateDict(fixture, 'averaged')))
    await folder.hold(fixture, source, {
      format: 'guided-diffusion-classifier',
      settings: {
        network: { multipliers: [1, 2], pool: 'spatial_v2', headLayout: 'split', resampling: 'convolution' },
        diffusion: { schedule: { kind: 'cosine', steps: 4000 } },
      },
      classes: 7,
      step: 300,
      copies: ['averaged'],
    })
  })

  test('levels that the tensors leave open are asked for', async () => {
    const block = { 'in_layers.2.weight': [8, 8, 3, 3] }
    const tensors = Object.fromEntries([
      ['time_embed.0.weight', [32, 8]],
      ['input_blocks.0.0.weight', [8, 3, 3, 3]],
      ['middle_block.1.qkv.weight', [24, 8, 1]],
      ['out.0.weight', [8]],
      ['out.3.weight', [5, 8, 1, 1]],
      ...[1, 2, 3].flatMap((index) =>
        Object.entries(block).map(([name, shape]) => [`input_blocks.${index}.0.${name}`, shape]),
      ),
    ]) as Record<string, number[]>
    const saved = Object.entries(tensors).map(([name, shape]): [string, Saved] => {
      return [name, new SavedTensor(new Float32Array(elementCount(shape)), shape)]
    })
    const source = await folder.write('flat.pt', torchZip(new Map(saved)))
    const set = ['imageSize=8', 'diffusionSteps=9', 'noiseSchedule=linear'].map(parseAssignment)
    const out = folder.file('never')
    await expect(importCheckpoint(source, { out, set })).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringContaining('levels of 1 or 3 blocks'),
    })
    const wrong = [...set, parseAssignment('blocks=2')]
    await expect(importCheckpoint(source, { out, set: wrong })).rejects.toThrow(
      '4 input blocks make no levels of 2 blocks',
    )
  })
})
