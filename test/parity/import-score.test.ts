/** Score networks of score-SDE, NCSN and EDM, imported from files as those write them, compute what they computed there. */
import { describe, expect, test } from 'vitest'
import { readCheckpoint } from '../../lib/checkpoints/checkpoint-folder.js'
import { importCheckpoint } from '../../lib/checkpoints/import/import-checkpoint.js'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { parseAssignment } from '../../lib/options/assign.js'
import { type Saved, SavedTensor, torchZip } from '../unit/torch-writer.js'
import { ImportFolder } from './hold-import.js'
import { type ImportFixture, readImportFixture, stateDict } from './import-fixture.js'
import { decodeFloats } from './network-fixture.js'

const folder = new ImportFolder('import-score')

/** The score of images that are twice as wide. */
function halved({ outputs, ...fixture }: ImportFixture): ImportFixture {
  const half = (output: string): string =>
    Buffer.from(decodeFloats(output).map((value) => value / 2).buffer).toString('base64')
  return { ...fixture, outputs: Object.fromEntries(Object.entries(outputs).map(([copy, one]) => [copy, half(one)])) }
}

/** A checkpoint of score-SDE. @param untrained parameters of which no average is kept. */
function scoreSdeFile(fixture: ImportFixture, untrained: readonly string[] = []) {
  const averaged = fixture.outputs['averaged'] === undefined ? 'trained' : 'averaged'
  const isKept = ([name]: readonly [string, unknown]): boolean => ![...fixture.buffers, ...untrained].includes(name)
  const shadows = [...stateDict(fixture, averaged)].filter(isKept)
  const trained = [...stateDict(fixture, 'trained')]
  return {
    optimizer: {},
    model: new Map(trained.map(([name, tensor]): [string, Saved] => [`module.${name}`, tensor])),
    ema: { decay: 0.9999, num_updates: 26, shadow_params: shadows.map(([, tensor]) => tensor) },
    step: 26,
  }
}

describe("score-SDE's ncsnpp", () => {
  const frequencies = ['all_modules.0.W']

  test('NCSN++: frequencies have no average; images of the VE SDE are twice as wide here', async () => {
    const fixture = readImportFixture('score-sde-ncsnpp')
    const source = await folder.write('checkpoint_24.pth', torchZip(scoreSdeFile(fixture, frequencies)))
    await folder.hold(fixture, source, {
      format: 'score-sde',
      settings: {
        network: {
          kind: 'song-unet',
          multipliers: [1, 2, 2],
          attentionResolutions: [4],
          timeEmbedding: 'fourier',
          timeMultiplier: 2,
          encoder: 'residual',
          decoder: 'standard',
          resampling: 'fir',
        },
        diffusion: { schedule: { kind: 've-sde', sigmaMin: 0.02, sigmaMax: 100 }, timeLabel: 'log-half-sigma' },
      },
      step: 26,
      copies: ['trained', 'averaged'],
    })
    await using checkpoint = await readCheckpoint(folder.file('imported.safetensors'))
    const { schedule, label, prediction } = createProcess(parseDiffusion(checkpoint.settings['diffusion']))
    // Theirs, of x in [0, 1]: told ln sigma, clean = x + sigma F with F the output before it is divided by sigma. 2 x - 1 of both sides.
    const theirs = 0.01 * 5000 ** 0.25
    const level = schedule.level(0.25)
    expect(level.sigma).toBeCloseTo(2 * theirs, 12)
    expect(label(level)).toBeCloseTo(Math.log(theirs), 12)
    expect(prediction.numbers(level)).toMatchObject({ cIn: 1, cSkip: 1, cOut: level.sigma })
  })

  test('an undivided output is half as large here', async () => {
    const fixture = readImportFixture('score-sde-ncsnpp')
    const file = scoreSdeFile({ ...fixture, outputs: { trained: '' } }, frequencies)
    const set = { ...fixture.set, scaleBySigma: false }
    await folder.hold({ ...halved(fixture), set }, await folder.write('undivided.pth', torchZip(file)), {
      format: 'score-sde',
      settings: { diffusion: { prediction: { kind: 'score', scaled: false } } },
      step: 26,
      copies: ['trained', 'trained'],
    })
  })

  test('NCSN++ of 256×256: skips of the image, the output gathered from all levels', async () => {
    const fixture = readImportFixture('score-sde-ncsnpp-256')
    const source = await folder.write('checkpoint_48.pth', torchZip(scoreSdeFile(fixture, frequencies)))
    await folder.hold(fixture, source, {
      format: 'score-sde',
      settings: {
        network: { multipliers: [1, 1, 2], encoder: 'skip', encoderJoin: 'sum', decoder: 'skip', resampling: 'fir' },
        diffusion: { schedule: { sigmaMax: 696 } },
      },
      step: 26,
      copies: ['trained', 'trained'],
    })
  })

  test('NCSN++ in discrete time counts its steps from the most noise', async () => {
    const fixture = readImportFixture('score-sde-ncsnpp-discrete')
    const source = await folder.write('discrete.pth', torchZip(scoreSdeFile(fixture)))
    await folder.hold(fixture, source, {
      format: 'score-sde',
      settings: {
        network: { timeEmbedding: 'positional', encoder: 'skip', encoderJoin: 'concatenation' },
        diffusion: { schedule: { kind: 'ncsn', steps: 1000, sigmaMax: 100 }, timeLabel: 'steps-left' },
      },
      step: 26,
      copies: ['trained', 'trained'],
    })
  })

  test('DDPM++', async () => {
    const fixture = readImportFixture('score-sde-ddpmpp')
    const source = await folder.write('checkpoint_8.pth', torchZip(scoreSdeFile(fixture)))
    await folder.hold(fixture, source, {
      format: 'score-sde',
      settings: {
        network: { multipliers: [1, 2], blocks: 2, encoder: 'standard', resampling: 'box', timeMultiplier: 1 },
        diffusion: { schedule: { kind: 'vp-sde' }, prediction: { kind: 'noise' }, timeLabel: 'zero-to-999' },
      },
      step: 26,
      copies: ['trained', 'averaged'],
    })
  })

  test.each([
    ['what is left open', {}, ['imageSize', 'sigmaMax']],
    [
      'another SDE than the VE',
      { imageSize: 8, sde: 'vpsde' },
      /told ln sigma, which belongs to the VE SDE, not to vpsde/,
    ],
  ])('%s is refused', async (_, given, problem) => {
    const source = await folder.write(
      'open.pth',
      torchZip(scoreSdeFile(readImportFixture('score-sde-ncsnpp'), frequencies)),
    )
    const set = Object.entries(given).map(([name, value]) => parseAssignment(`${name}=${value}`))
    const failed = expect(importCheckpoint(source, { out: folder.file('never'), set })).rejects
    if (problem instanceof RegExp) await failed.toThrow(problem)
    else await failed.toMatchObject({ details: { options: problem } })
  })
})

describe('NCSN', () => {
  const parallel = (fixture: ImportFixture, changes: readonly [string, Saved][] = []): Map<string, Saved> =>
    new Map([...stateDict(fixture, 'trained'), ...changes].map(([name, tensor]) => [`module.${name}`, tensor]))

  test('the first: a table of norms for each, whose rows begin with the most noise; its score is half as large here', async () => {
    const fixture = readImportFixture('ncsn')
    const source = await folder.write('ncsn/checkpoint.pth', torchZip([parallel(fixture), { state: {} }]))
    await folder.hold(halved(fixture), source, {
      format: 'ncsn',
      settings: {
        network: { kind: 'refinenet', channels: 6, multipliers: [1, 2, 2, 2], levels: 5, pooling: 'mean' },
        diffusion: {
          schedule: { kind: 'ncsn', steps: 5, sigmaMin: 0.02, sigmaMax: 2 },
          prediction: { kind: 'score', scaled: false },
        },
      },
      step: 0,
      copies: ['trained'],
    })
  })

  test('the second: levels are in the file, averages have names', async () => {
    const fixture = readImportFixture('ncsnv2')
    const sigmas = new SavedTensor(Float32Array.of(348, 10 * Math.sqrt(34.8), 10), [3])
    const averages = new Map([...stateDict(fixture, 'averaged')].filter(([name]) => name !== 'sigmas'))
    const file = [parallel(fixture, [['sigmas', sigmas]]), { state: {} }, 9, 700, averages]
    await folder.hold(fixture, await folder.write('ncsnv2/checkpoint_700.pth', torchZip(file)), {
      format: 'ncsn',
      settings: {
        network: { dilations: [1, 1, 1, 1, 2, 4], levels: null, pooling: 'max' },
        diffusion: { schedule: { steps: 3, sigmaMin: 20, sigmaMax: 696 }, prediction: { kind: 'score', scaled: true } },
      },
      step: 700,
      copies: ['trained', 'averaged'],
    })
    const uneven = new SavedTensor(Float32Array.of(3, 2, 1), [3])
    const other = await folder.write('uneven.pth', torchZip([parallel(fixture, [['sigmas', uneven]])]))
    const set = [parseAssignment('imageSize=16')]
    await expect(importCheckpoint(other, { out: folder.file('never'), set })).rejects.toThrow('no geometric sequence')
  })
})

describe('EDM', () => {
  const diffusion = { prediction: { kind: 'edm', sigmaData: 0.5 }, timeLabel: 'quarter-log-ratio' }

  test('NCSN++ with classes, as its preconditioning keeps it', async () => {
    const fixture = readImportFixture('edm-ncsnpp')
    const saved = [...stateDict(fixture, 'trained')].map(([name, tensor]): [string, Saved] => [`model.${name}`, tensor])
    await folder.hold(fixture, await folder.write('edm-cifar10-32x32-cond-ve.pt', torchZip(new Map(saved))), {
      format: 'edm',
      settings: {
        network: {
          kind: 'song-unet',
          multipliers: [1, 2, 2],
          attentionResolutions: [4],
          timeEmbedding: 'fourier',
          timeMultiplier: 2,
          encoder: 'residual',
          decoder: 'standard',
          resampling: 'fir',
          augmentLabels: 9,
          scaleShift: false,
        },
        diffusion,
      },
      classes: 3,
      step: 0,
      copies: ['trained'],
    })
  })

  test('a SongUNet with both pyramids', async () => {
    const fixture = readImportFixture('edm-skip')
    await folder.hold(fixture, await folder.write('skip.pt', torchZip(stateDict(fixture, 'trained'))), {
      format: 'edm',
      settings: {
        network: {
          multipliers: [2, 2],
          blocks: 2,
          encoder: 'skip',
          decoder: 'skip',
          resampling: 'box',
          augmentLabels: 0,
        },
        diffusion,
      },
      step: 0,
      copies: ['trained'],
    })
  })

  test('a DhariwalUNet', async () => {
    const fixture = readImportFixture('edm-adm')
    await folder.hold(
      fixture,
      await folder.write('edm-imagenet-64x64-cond-adm.pt', torchZip(stateDict(fixture, 'trained'))),
      {
        format: 'edm',
        settings: { network: { kind: 'unet', channels: 64, headChannels: 64, nullClassEmbedding: 'zero' }, diffusion },
        classes: 4,
        step: 0,
        copies: ['trained'],
      },
    )
  })

  test('its own files, which hold a program, are refused with the way to their weights', async () => {
    const snapshot = Buffer.from('800495000000000000007d940a', 'hex')
    const source = await folder.write('edm-cifar10-32x32-uncond-vp.pkl', snapshot)
    await expect(importCheckpoint(source, { out: folder.file('never') })).rejects.toMatchObject({
      code: 'DPM_FILE_INVALID',
      message: expect.stringContaining(
        'runs no program that it reads. Where you trust it, keep its weights alone, in Python: torch.save(',
      ),
    })
  })
})
