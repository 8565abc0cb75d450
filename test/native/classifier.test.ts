/** Classifiers of noisy images: what they learn, how they guide, and who refuses them. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGeneration } from '../../lib/generation/generate.js'
import { ProgramRun } from '../../lib/generation/program-run.js'
import { createProcess, Diffusion, Network, NoisyClassifier, parseDiffusion, Tensor, Trainer } from '../../lib/index.js'
import type { NetworkHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { type EncoderUnetOptions, encoderUnet } from '../../lib/networks/encoder-unet.js'
import type { Program } from '../../lib/sampling/program.js'
import { planRun } from '../../lib/training/plan.js'
import { type RunOptions, runOptions } from '../../lib/training/run-options.js'
import { drawParameter } from '../parity/network-fixture.js'
import { command, makeFolder, tinyOptions, writeTinyRecipe } from './command.js'
import { createTensor, holdHandles } from './handles.js'
import { passGradient, stepGradient } from './network-gradient.js'
import { createTinyUnet, drawImages, tinyImage } from './tiny-unet.js'
import { batchOf, createTraining, planOf, relativeDistance } from './training-batch.js'

const held = holdHandles()

const tiny: EncoderUnetOptions = {
  kind: 'encoder-unet',
  channels: 8,
  multipliers: [1, 2],
  blocks: 1,
  attentionResolutions: [4],
  headChannels: 8,
  groups: 4,
}
const known = 5

async function create(options: Partial<EncoderUnetOptions> = {}): Promise<NetworkHandle> {
  const native = encoderUnet.native(encoderUnet.options.parse({ ...tiny, ...options }), tinyImage, known)
  const network = held(await loadBinding().networkCreate('encoder-unet', native, 1, 'cpu'))
  for (const { name, shape } of loadBinding().networkParameters(network)) {
    await loadBinding().networkWrite(network, name, createTensor(held, drawParameter(name, shape), shape))
  }
  return network
}

const plan = planOf([3, 1, 8], { row: { weight: 0.7, cIn: 0.9 } })
const targets = [4, 0, 2]
const cross = (changes: object = {}) =>
  batchOf(held, plan, { loss: 'cross-entropy', classes: Int32Array.from(targets), ...changes })

describe('the cross-entropy', () => {
  test('and its gradient are those of the formula', async () => {
    const network = await create()
    const { report, gradient } = await stepGradient(held, network, cross())
    const losses: number[] = []
    const wanted = await passGradient(held, network, plan, (output) =>
      targets.flatMap((target, n) => {
        const logits = Array.from(output.subarray(n * known, (n + 1) * known))
        const sum = logits.reduce((total, one) => total + Math.exp(one), 0)
        losses.push(Math.log(sum) - (logits[target] ?? 0))
        return logits.map((one, k) => (0.7 / 3) * (Math.exp(one) / sum - (k === target ? 1 : 0)))
      }),
    )
    expect(wanted.output).toHaveLength(3 * known)
    losses.forEach((loss, n) => void expect(Math.abs((report.losses[n] ?? 0) / loss - 1)).toBeLessThan(1e-5))
    expect(report.loss).toBeCloseTo((0.7 / 3) * losses.reduce((sum, loss) => sum + loss, 0), 5)
    expect(relativeDistance(gradient, wanted.gradient)).toBeLessThan(1e-5)
  })

  test.each(['attention', 'adaptive', 'spatial', 'spatial_v2'] as const)(
    'is the same where blocks run again on the way back: pool %s',
    async (pool) => {
      const whole = await stepGradient(held, await create({ pool }), cross())
      const again = await stepGradient(held, await create({ pool }), cross(), { activationCheckpointing: true })
      expect(again.report.loss).toBe(whole.report.loss)
      expect(relativeDistance(again.gradient, whole.gradient)).toBeLessThan(1e-6)
      const half = await stepGradient(held, await create({ pool }), cross(), { precision: 'bfloat16' })
      expect(relativeDistance(half.gradient, whole.gradient)).toBeLessThan(0.1)
    },
  )

  test.each([
    ['a class that the network does not know', { classes: Int32Array.of(4, 5, 0) }, 'from 0 to 4 for `classes[1]`'],
    ['no classes', { classes: null }, 'Expected 3 `classes`'],
    ['row gradients', { rowGradients: true }, 'no bound and no row gradients'],
    [
      'another loss',
      { loss: 'l2' },
      'gives 5 numbers for each. Guide with it, or train it with the loss "cross-entropy"',
    ],
  ])('%s is refused', async (_, changes, message) => {
    const training = await createTraining(held, await create())
    await expect(loadBinding().trainingStep(training, cross(changes), null)).rejects.toThrow(message)
  })

  test('teaches no network that gives images', async () => {
    const training = await createTraining(held, await createTinyUnet(held))
    await expect(loadBinding().trainingStep(training, cross(), null)).rejects.toThrow(
      'teaches a classifier, but the network gives images of 3×8×8',
    )
  })
})

test('a network of logits draws nothing, recorded or adaptive', async () => {
  const network = await create()
  const evaluate = { op: 'evaluate', out: 1, x: 0, network: 0, condition: 'given', cIn: 1, cNoise: 12 } as const
  const program: Program = {
    version: 1,
    name: 'test',
    registers: 2,
    inputs: { x: 0 },
    output: 1,
    steps: 0,
    instructions: [evaluate],
  }
  using x = Tensor.from(drawImages(1), [1, 3, 8, 8])
  const options = { seed: 1, samples: Float64Array.of(0), chunk: 1, classes: null, precision: 'float32' } as const
  await expect(ProgramRun.create([network], program, { x }, options)).rejects.toThrow('this one is a classifier')
  const source = {
    network,
    device: 'cpu',
    precision: 'float32',
    process: createProcess(parseDiffusion({ schedule: 'vp-sde', timeLabel: 'zero-to-999' })),
    image: tinyImage,
    classes: [],
    nullClass: false,
    conditionChannels: 0,
  } as const
  using generation = await startGeneration(source, { count: 1, sampler: 'rk45' })
  await expect(generation.run.advance(1, {})).rejects.toThrow('gives images of 3×8×8 but it gives 5 numbers for each')
})

const folder = makeFolder()
afterAll(() => folder.remove())
const at = (...names: string[]): string => join(folder.path, ...names)
/** Pictures of 1×8×8 in ten classes. */
const options = (): RunOptions => ({
  ...tinyOptions(folder.path),
  network: { ...tiny },
  diffusion: { schedule: { kind: 'linear', steps: 50, scaleToSteps: true }, loss: 'cross-entropy' },
  // Mirrored, a square would stand where that of another class does.
  training: { batch: 8, learningRate: { peak: 3e-3 }, averaging: [{ kind: 'constant', decay: 0.9 }] },
  budget: { steps: 150 },
})
const losses: number[] = []

describe('a trained classifier', () => {
  beforeAll(async () => {
    writeTinyRecipe(folder.path)
    await using trainer = await Trainer.create({ ...options(), out: at('classifier') })
    const { written } = await trainer.train({ onStep: ({ loss }) => void losses.push(loss) })
    expect(written).toEqual([expect.stringMatching(/step-00000150.safetensors$/)])
    expect(() => trainer.source).toThrow('is a classifier, which draws no images')
    await using model = await Trainer.create({ ...tinyOptions(folder.path), budget: { steps: 1 }, out: at('model') })
    await model.train()
  })

  test('has learned from its images, and drawn none', async () => {
    // A network that says nothing has ln 10.
    expect(losses[0]).toBeCloseTo(Math.log(10), 0)
    expect(losses.slice(-20).reduce((sum, loss) => sum + loss / 20, 0)).toBeLessThan(2.1)
    using classifier = await NoisyClassifier.load(at('classifier'), { device: 'cpu' })
    expect(classifier.classes).toHaveLength(10)
    expect(classifier).toMatchObject({ step: 150, image: { channels: 1, height: 8, width: 8 } })
    expect(existsSync(at('classifier', 'samples', 'denoising.gif'))).toBe(false)
  })

  test('gives the gradient of the logarithm of a class, at the level that it is asked about', async () => {
    using classifier = await NoisyClassifier.load(at('classifier'), { device: 'cpu', weights: 'trained' })
    const level = { ...classifier.process.schedule.level(20), places: [0, 1, 2] }
    const values = drawImages(3, 64)
    using x = Tensor.from(values, [3, 1, 8, 8]) as Tensor<'float32'>
    const guide = classifier.guide({ classes: ['7', 2] })
    const wanted = [7, 2, 7]
    const logProbabilities = async (moved: Float32Array): Promise<number[]> => {
      using given = Tensor.from(moved, [3, 1, 8, 8])
      using pass = await classifier.network.forward(given, [20, 20, 20], { gradient: false })
      const logits = await pass.output.data()
      return wanted.map((one, n) => {
        const own = Array.from(logits.subarray(10 * n, 10 * n + 10))
        return (own[one] ?? 0) - Math.log(own.reduce((sum, logit) => sum + Math.exp(logit), 0))
      })
    }
    using found = await guide(x, level)
    const gradient = await (found as Tensor<'float32'>).data()
    for (const n of [0, 1, 2]) {
      const own = gradient.map((value, k) => (Math.floor(k / 64) === n ? value : 0))
      const length = Math.hypot(...own)
      const along = async (by: number): Promise<number> =>
        (await logProbabilities(values.map((value, k) => value + (by * (own[k] ?? 0)) / length)))[n] ?? Number.NaN
      const slope =
        (8 * ((await along(0.05)) - (await along(-0.05))) - ((await along(0.1)) - (await along(-0.1)))) / 0.6
      expect(Math.abs(slope / length - 1)).toBeLessThan(1e-2)
    }
  })

  test('makes its class likelier in what it guides', async () => {
    using classifier = await NoisyClassifier.load(at('classifier'), { device: 'cpu' })
    using model = await Diffusion.load(at('model'), { device: 'cpu' })
    const meanOf = async (scale: number): Promise<number> => {
      const guides = [{ gradient: classifier.guide({ classes: [3] }), scale }]
      using generation = await startGeneration(model.source, { count: 8, steps: 10, guides })
      await generation.run.advance(Number.POSITIVE_INFINITY, {})
      using output = await generation.run.read('output')
      using pass = await classifier.network.forward(output, new Array<number>(8).fill(0), { gradient: false })
      const logits = await pass.output.data()
      return [...Array(8).keys()].reduce((sum, n) => {
        const own = Array.from(logits.subarray(10 * n, 10 * n + 10))
        return sum + ((own[3] ?? 0) - Math.log(own.reduce((total, one) => total + Math.exp(one), 0))) / 8
      }, 0)
    }
    expect(await meanOf(20)).toBeGreaterThan((await meanOf(0)) + 0.1)
  })

  test('is refused where images or levels are not those of its training', async () => {
    using classifier = await NoisyClassifier.load(at('classifier'), { device: 'cpu' })
    const level = classifier.process.schedule.level(20)
    using x = Tensor.from(drawImages(1, 64), [1, 1, 8, 8]) as Tensor<'float32'>
    using other = Tensor.from(drawImages(1), [1, 3, 8, 8]) as Tensor<'float32'>
    const guide = classifier.guide()
    await expect(guide(other, { ...level, places: [0] })).rejects.toThrow(
      'knows images of 1×8×8, but the model draws 3×8×8',
    )
    await expect(guide(x, { ...level, alpha: 0.9, places: [0] })).rejects.toThrow(
      /at time 20 .*schedule "linear" has alpha/,
    )
    await expect(guide(x, { ...level, time: 70, places: [0] })).rejects.toThrow('"linear" has no such time')
    expect(() => classifier.guide({ classes: ['11'] })).toThrow(/for `classes` but received "11"/)
  })

  test('is neither loaded as a model that draws, nor a model that draws as a classifier', async () => {
    await expect(Diffusion.load(at('classifier'))).rejects.toMatchObject({
      code: 'DPM_INVALID_OPTION',
      message: expect.stringContaining('holds a classifier of noisy images ("encoder-unet"), which draws none'),
    })
    await expect(NoisyClassifier.load(at('model'))).rejects.toThrow('holds no classifier: its network "unet"')
  })

  test('guides on the command line', async () => {
    const sample = (...args: string[]) =>
      command(['sample', 'model', '--steps', '3', '--out', 'out.png', '--count', '2', ...args], folder.path)
    const by = ['--classifier', 'classifier', '--classifier-scale', '3']
    expect(await sample(...by, '--classes', '3')).toMatchObject({ code: 0 })
    expect(await sample('--classifier', 'model')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/holds no classifier/),
    })
    expect(await command(['sample', 'classifier'], folder.path)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/which draws none. Guide another model by it/),
    })
    expect(await command(['likelihood', 'classifier'], folder.path)).toMatchObject({ code: 2 })
  }, 60_000)

  test('is planned without pictures', async () => {
    const plan = await planRun({ settings: runOptions.parse({ ...options(), budget: { steps: 9 } }, 'test') })
    expect(plan.pictures).toEqual({ grids: 0, secondsPerGrid: 0, animationSeconds: 0, totalSeconds: 0 })
  })
})

describe('options that do not fit a classifier', () => {
  test.each([
    [
      'the loss of a denoiser',
      { diffusion: { loss: 'l2' } },
      /"encoder-unet" is a classifier: it cannot learn to denoise/,
    ],
    [
      'a denoiser with its loss',
      { network: tinyOptions('.').network },
      /"cross-entropy" teaches classifiers, and the network "unet" is none/,
    ],
    ['a bound', { diffusion: { loss: 'cross-entropy', bound: 'hybrid' } }, /"cross-entropy" has no target/],
    [
      'a learned variance',
      { diffusion: { loss: 'cross-entropy', variance: 'learned-range', bound: 'none' } },
      /learned by the variational bound alone/,
    ],
  ])('%s', async (_, changes, message) => {
    await expect(Trainer.create({ ...options(), ...changes } as never)).rejects.toThrow(message)
  })

  test('data without classes', async () => {
    const image = { channels: 1, height: 8, width: 8 }
    const { kind, ...rest } = tiny
    await expect(Network.create(kind, rest, { image })).rejects.toThrow('needs data of at least 2 classes')
  })
})
