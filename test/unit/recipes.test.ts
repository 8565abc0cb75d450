import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createProcess } from '../../lib/diffusion/diffusion-options.js'
import { requireTrainable } from '../../lib/diffusion/trainable.js'
import { createAveraging } from '../../lib/training/averaging.js'
import { createBudget } from '../../lib/training/budget.js'
import { createLearningRate } from '../../lib/training/learning-rate.js'
import { overlay, readRecipe, recipeNames, resolveRecipe } from '../../lib/training/recipes.js'

describe('every recipe', () => {
  test.each(recipeNames())(
    '%s resolves, is named as its file, says what it is, and resolves to itself again',
    (name) => {
      const settings = resolveRecipe(name)
      expect(settings.name).toBe(name)
      expect(settings.description).toMatch(/^[A-Z].{20,}\.$/s)
      const again = JSON.parse(JSON.stringify(settings)) as Record<string, unknown>
      const { name: _, ...changes } = again
      expect(resolveRecipe(name, changes)).toEqual(settings)
    },
  )

  test.each(recipeNames())(
    '%s draws previews in no more steps than its schedule has, and saves more often than it ends',
    (name) => {
      const settings = resolveRecipe(name)
      expect(settings.previews.steps).toBeLessThanOrEqual(
        createProcess(settings.diffusion).schedule.steps ?? Number.POSITIVE_INFINITY,
      )
      const context = { batch: settings.training.batch, dataSetLength: 3_000 }
      const { totalSteps } = createBudget(settings.budget, context)
      expect(() => createLearningRate(settings.training.learningRate, totalSteps)).not.toThrow()
    },
  )
})

test('ddpm-cifar10 is what Ho et al. 2020 ran (arXiv 2006.11239; run_cifar.py, unet.py, nn.py)', () => {
  const { data, network, diffusion, training, budget } = resolveRecipe('ddpm-cifar10')
  expect(data).toEqual({ kind: 'cifar10', path: 'data/cifar10', split: 'train' })
  expect(network).toMatchObject({
    kind: 'unet',
    channels: 128,
    multipliers: [1, 2, 2, 2],
    blocks: 2,
    attentionResolutions: [16],
    middleAttention: true,
    heads: 1,
    headChannels: null,
    timeEmbedding: 'ddpm',
    downsamplePadding: 'asymmetric',
    resampling: 'convolution',
    scaleShift: false,
    skipScale: 1,
    groups: 32,
    groupEpsilon: 1e-6,
    dropout: 0.1,
    initialization: 'ddpm',
    zeroLayers: 'tiny',
    classConditional: false,
  })
  expect(diffusion).toMatchObject({
    schedule: {
      kind: 'linear',
      steps: 1000,
      betaStart: 1e-4,
      betaEnd: 0.02,
      scaleToSteps: false,
      zeroTerminalSnr: false,
    },
    prediction: { kind: 'noise' },
    variance: 'fixed-large',
    weighting: { kind: 'uniform' },
    times: { kind: 'uniform' },
    timeLabel: 'step',
    loss: 'l2',
    clip: { kind: 'range', low: -1, high: 1 },
  })
  expect(training).toMatchObject({ batch: 128, microBatch: null, flip: true, clipNorm: 1 })
  expect(training.optimizer).toEqual({ kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 })
  expect(budget).toEqual({ steps: 800_000 })

  const rate = createLearningRate(training.learningRate, 800_000)
  expect([0, 2500, 5000, 799_999].map(rate)).toEqual([0, 1e-4, 2e-4, 2e-4])
  const decays = training.averaging.map((settings) => createAveraging(settings).decayAt(1, 128))
  expect(decays).toEqual([0.9999])
  // alpha-bar at the last time: 4.0358298e-05.
  expect(createProcess(diffusion).schedule.level(999).alpha ** 2).toBeCloseTo(4.0358298e-5, 12)
})

test('ncsnv2 and ncsn are what Song and Ermon ran (arXiv 2006.09011, 1907.05600; configs/cifar10.yml, anneal.yml)', () => {
  const second = resolveRecipe('ncsnv2')
  const first = resolveRecipe('ncsn')
  expect(second.network).toMatchObject({
    kind: 'refinenet',
    channels: 128,
    multipliers: [1, 2, 2, 2],
    dilations: [1, 1, 2, 4],
    blocks: 2,
    levels: null,
    pooling: 'max',
    activation: 'elu',
    initialization: 'torch',
  })
  expect(first.network).toEqual({ ...second.network, levels: 10, pooling: 'mean' })
  // Twice their levels, four times their step: images are in [-1, 1] instead of [0, 1].
  const ends = ({ diffusion }: typeof first) => {
    const { schedule } = createProcess(diffusion)
    return [schedule.steps, ...[schedule.cleanest, schedule.noisiest].map((time) => schedule.level(time).sigma / 2)]
  }
  expect([ends(first), ends(second)]).toEqual([
    [10, 0.01, 1],
    [232, 0.01, 50],
  ])
  expect(second.diffusion.weighting).toEqual({ kind: 'denoising-score-matching', power: 2 })
  expect(first.diffusion.weighting).toEqual({ kind: 'denoising-score-matching', power: 2 })
  expect([first.diffusion.prediction, second.diffusion.prediction]).toEqual([
    { kind: 'score', scaled: false },
    { kind: 'score', scaled: true },
  ])
  expect([first.training, second.training]).toMatchObject([
    { batch: 128, flip: true, clipNorm: 0, learningRate: { peak: 1e-3 }, averaging: [] },
    {
      batch: 128,
      flip: true,
      clipNorm: 0,
      learningRate: { peak: 1e-4 },
      averaging: [{ kind: 'constant', decay: 0.999 }],
    },
  ])
  for (const { training } of [first, second]) expect(training.optimizer.epsilon * 3072).toBeCloseTo(1e-8, 17)
  expect([first.budget, second.budget]).toEqual([{ steps: 200_000 }, { steps: 300_000 }])
  expect([first.previews.sampler, second.previews.sampler]).toEqual([
    { kind: 'annealed-langevin', stepSize: 4 * 2e-5, stepsPerLevel: 100, denoise: false },
    { kind: 'annealed-langevin', stepSize: 4 * 6.2e-6, stepsPerLevel: 5, denoise: true },
  ])
})

test('mnist and fashion-mnist differ in data, flips and length only', () => {
  const mnist = resolveRecipe('mnist')
  const fashion = resolveRecipe('fashion-mnist')
  expect(mnist.data).toMatchObject({ kind: 'idx', folder: 'data/mnist', split: 'train', padding: 2, names: 'digits' })
  expect(fashion.data).toMatchObject({
    kind: 'idx',
    folder: 'data/fashion-mnist',
    split: 'train',
    padding: 2,
    names: 'fashion',
  })
  expect(fashion.network).toEqual(mnist.network)
  expect(fashion.diffusion).toEqual(mnist.diffusion)
  expect(fashion.network).toMatchObject({
    channels: 32,
    multipliers: [1, 2, 4],
    classConditional: true,
    nullClass: true,
  })
  expect([mnist.training.flip, fashion.training.flip]).toEqual([false, true])
  expect({ ...fashion.training, flip: false }).toEqual(mnist.training)
  expect([mnist.budget, fashion.budget]).toEqual([{ epochs: 5 }, { epochs: 10 }])
})

test('vdm is configs/cifar10.py of google-research/vdm with the monotone network', () => {
  const { network, diffusion, training, budget } = resolveRecipe('vdm')
  expect(network).toMatchObject({
    channels: 128,
    multipliers: [1],
    blocks: 32,
    attentionResolutions: [],
    middleAttention: true,
    fourierFeatures: [6, 7],
    dropout: 0.1,
  })
  expect(diffusion).toMatchObject({
    schedule: { kind: 'learned', gammaMin: -13.3, gammaMax: 5, shape: 'network', ends: 'learned', units: 1024 },
    prediction: { kind: 'noise-residual' },
    weighting: { kind: 'vlb' },
    times: { kind: 'low-discrepancy' },
    timeLabel: 'log-snr',
    loss: 'l2',
    bound: { kind: 'none' },
  })
  expect(() => requireTrainable(diffusion)).not.toThrow()
  expect(training).toMatchObject({
    batch: 128,
    flip: false,
    optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01 },
    learningRate: { peak: 2e-4, warmupSteps: 100, decay: 'constant' },
    clipNorm: 0,
    averaging: [{ kind: 'constant', decay: 0.9999 }],
  })
  expect(budget).toEqual({ steps: 10_000_000 })
})

test('flow-matching and ot-cfm are what Tong et al. 2023 ran (arXiv 2302.00482; train_cifar10.py), and differ in pairs only', () => {
  const [flow, paired] = [resolveRecipe('flow-matching'), resolveRecipe('ot-cfm')]
  expect([flow.diffusion.coupling, paired.diffusion.coupling]).toEqual(['independent', 'optimal-transport'])
  const { name: _, description: __, ...rest } = paired
  const changed = { ...flow, diffusion: { ...flow.diffusion, coupling: 'optimal-transport' } }
  expect(changed).toMatchObject(rest)
  expect(paired.network).toMatchObject({
    channels: 128,
    multipliers: [1, 2, 2, 2],
    blocks: 2,
    attentionResolutions: [16],
    middleAttention: true,
    headChannels: 64,
    dropout: 0.1,
  })
  expect(paired.diffusion).toMatchObject({
    schedule: { kind: 'rectified-flow' },
    prediction: { kind: 'flow' },
    times: { kind: 'uniform' },
    loss: 'l2',
  })
  expect(paired.training).toMatchObject({ batch: 128, flip: true, clipNorm: 1 })
  expect(paired.training.optimizer).toMatchObject({ kind: 'adam', beta1: 0.9, beta2: 0.999, weightDecay: 0 })
  expect(paired.budget).toEqual({ steps: 400_000 })
  const rate = createLearningRate(paired.training.learningRate, 400_000)
  expect([0, 2500, 5000, 399_999].map(rate)).toEqual([0, 1e-4, 2e-4, 2e-4])
  expect(paired.training.averaging.map((settings) => createAveraging(settings).decayAt(1, 128))).toEqual([0.9999])
})

test('sprites-course is the set-up of the course on sprites (DeepLearning.AI)', () => {
  const { data, network, diffusion, training, budget } = resolveRecipe('sprites-course')
  expect(data).toMatchObject({ kind: 'sprites', images: 'data/sprites/sprites_1788_16x16.npy' })
  expect(network).toMatchObject({ kind: 'context-unet', channels: 64, courseCompat: false, classConditional: true })
  const { schedule, label } = createProcess(diffusion)
  // Their betas are 1e-4 + 0.0199 t / 500 for t = 0 … 500, and abar has that of t = 0 in it at every t above 0.
  const theirs = [1, 500].map((t) => schedule.level(t - 1).alpha ** 2 * (1 - 1e-4))
  expect(theirs[0]).toBeCloseTo(0.99976021, 8)
  expect(theirs[1]).toBeCloseTo(0.00628876, 7)
  expect([1, 250, 500].map((t) => label(schedule.level(t - 1)))).toEqual([1 / 500, 0.5, 1])
  const rate = createLearningRate(training.learningRate, 32 * 894, 894)
  expect([0, 893, 894, 31 * 894].map(rate)).toEqual([1e-3, 1e-3, 1e-3 * (31 / 32), expect.closeTo(1e-3 / 32, 15)])
  expect(training).toMatchObject({ batch: 100, conditionDropout: 0.1, clipNorm: 0, averaging: [] })
  expect(budget).toEqual({ epochs: 32 })
})

describe('reading recipes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dpm-torch-recipes-'))
  const write = (name: string, content: unknown): string => {
    const path = join(folder, name)
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    return path
  }
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('a file extends another beside it, and a recipe by name', () => {
    write('base.json', { extends: 'mnist', training: { batch: 7 } })
    const settings = resolveRecipe(write('mine.json', { extends: 'base.json', seed: 5 }))
    expect(settings).toMatchObject({
      name: 'mine',
      seed: 5,
      training: { batch: 7, clipNorm: 1 },
      network: { channels: 32 },
    })
  })

  test.each([
    ['sprits', 'DPM_INVALID_OPTION', /Did you mean "sprites"/],
    ['nowhere.json', 'DPM_FILE_MISSING', /nowhere\.json/],
    [write('circle.json', { extends: 'circle.json' }), 'DPM_FILE_INVALID', /extends itself/],
    [write('broken.json', '{"seed": '), 'DPM_FILE_INVALID', /broken\.json" cannot be read/],
    [write('list.json', []), 'DPM_FILE_INVALID', /no JSON object/],
    [write('typo.json', { extends: 'mnist', trainning: {} }), 'DPM_INVALID_OPTION', /Did you mean `training`/],
  ])('%s is refused', (recipe, code, message) => {
    let error: unknown
    try {
      resolveRecipe(recipe)
    } catch (caught) {
      error = caught
    }
    expect(error).toMatchObject({ code })
    expect(String(error)).toMatch(message)
  })

  test('changes merge into objects, replace lists, and another kind begins anew', () => {
    const options = { data: { kind: 'a', size: 1 }, list: [1, 2], training: { batch: 3, rate: { peak: 1 } } }
    const changes = { data: { kind: 'b' }, list: [9], training: { rate: { final: 0 } } }
    expect(overlay(options, changes)).toEqual({
      data: { kind: 'b' },
      list: [9],
      training: { batch: 3, rate: { peak: 1, final: 0 } },
    })
    expect(readRecipe('ddpm-cifar10').training?.batch).toBe(128)
  })

  test('a name stands for its object', () => {
    const options = { schedule: 'cosine', sampler: { kind: 'ddim', eta: 1 } }
    expect(overlay(options, { schedule: { steps: 50 }, sampler: 'ddpm' })).toEqual({
      schedule: { kind: 'cosine', steps: 50 },
      sampler: 'ddpm',
    })
    expect(overlay(options, { schedule: { kind: 'linear' } })).toEqual({ ...options, schedule: { kind: 'linear' } })
  })
})

test("classifier-imagenet64 is guided-diffusion's (arXiv 2105.05233; README.md, script_util.py), made noisy as the model that it guides", () => {
  const { network, diffusion, training, budget } = resolveRecipe('classifier-imagenet64')
  expect(network).toMatchObject({
    kind: 'encoder-unet',
    channels: 128,
    multipliers: [1, 2, 3, 4],
    blocks: 4,
    attentionResolutions: [32, 16, 8],
    headChannels: 64,
    headLayout: 'interleaved',
    resampling: 'residual',
    scaleShift: true,
    pool: 'attention',
    groupEpsilon: 1e-5,
  })
  expect(diffusion).toMatchObject({
    schedule: { kind: 'cosine', steps: 1000 },
    loss: 'cross-entropy',
    timeLabel: 'step',
  })
  expect(training.optimizer).toMatchObject({ kind: 'adamw', weightDecay: 0.05 })
  expect(training).toMatchObject({ batch: 256, clipNorm: 0, averaging: [] })
  expect(budget).toEqual({ steps: 300_000 })
  expect([0, 150_000, 300_000].map(createLearningRate(training.learningRate, 300_000))).toEqual([3e-4, 1.5e-4, 0])
})

test('classifier-fashion-mnist can guide fashion-mnist: the same pictures, made noisy in the same way', () => {
  const [classifier, model] = [resolveRecipe('classifier-fashion-mnist'), resolveRecipe('fashion-mnist')]
  expect(classifier.data).toEqual(model.data)
  expect(classifier.diffusion).toEqual({ ...model.diffusion, loss: 'cross-entropy' })
})
