/** A classifier of noisy clothes learns to tell them apart, and a model that knows no classes draws what it is guided towards. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dataSchema, openDataSet } from '../../lib/datasets/list.js'
import { Diffusion, memory, NoisyClassifier, Tensor, Trainer } from '../../lib/index.js'
import { normals } from '../../lib/random/philox.js'
import { clothes } from './short-run.js'

const folder = mkdtempSync(join(tmpdir(), 'dpm-classifier-'))
const at = (name: string): string => join(folder, name)
const data = {
  kind: 'idx',
  folder: 'folder' in clothes ? clothes.folder : '',
  split: 'test',
  padding: 2,
  names: 'fashion',
} as const
const schedule = { kind: 'cosine', steps: 200 } as const
const training = { batch: 32, learningRate: { peak: 2e-3, warmupSteps: 20, decay: 'cosine' }, averaging: [] } as const

describe.skipIf('reason' in clothes)('on Fashion-MNIST', () => {
  beforeAll(async () => {
    await using classifier = await Trainer.create({
      out: at('classifier'),
      data,
      network: {
        kind: 'encoder-unet',
        channels: 16,
        multipliers: [1, 2, 4],
        blocks: 1,
        attentionResolutions: [8],
        headChannels: 16,
        groups: 8,
        resampling: 'pool',
      },
      diffusion: { schedule, loss: 'cross-entropy' },
      training: { ...training, averaging: [] },
      budget: { steps: 250 },
    })
    await classifier.train()
    await using model = await Trainer.create({
      out: at('model'),
      data,
      network: {
        kind: 'unet',
        channels: 16,
        multipliers: [1, 2, 4],
        blocks: 1,
        attentionResolutions: [8],
        groups: 8,
        resampling: 'pool',
      },
      diffusion: { schedule, prediction: 'velocity' },
      training: { ...training, averaging: [{ kind: 'warmup', decay: 0.98 }] },
      budget: { steps: 250 },
      previews: { everySteps: 0 },
    })
    await model.train()
  })
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true })
    expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
  })

  /** Share of 200 pictures whose class it names at a time, of pictures as noisy. */
  async function accuracyAt(
    classifier: NoisyClassifier,
    pictures: Uint8Array,
    classes: readonly number[],
    time: number,
  ) {
    const { alpha, sigma } = classifier.process.schedule.level(time)
    const count = classes.length
    const size = pictures.length / count
    const x = Float32Array.from(pictures, (byte) => alpha * (byte / 127.5 - 1))
    for (let n = 0; n < count; n++) {
      normals(3, 'initial', 0, n, size).forEach((value, i) => {
        x[n * size + i] = (x[n * size + i] ?? 0) + sigma * value
      })
    }
    using given = Tensor.from(x, [count, 1, 32, 32])
    using pass = await classifier.network.forward(given, new Array<number>(count).fill(time), { gradient: false })
    const logits = await pass.output.data()
    const said = classes.map((_, n) => {
      const own = Array.from(logits.subarray(10 * n, 10 * n + 10))
      return own.indexOf(Math.max(...own))
    })
    return said.filter((one, n) => one === classes[n]).length / count
  }

  test('names most pictures, the noisier the fewer, and in pure noise no more than by chance', async () => {
    using classifier = await NoisyClassifier.load(at('classifier'))
    const dataSet = await openDataSet(dataSchema.parse(data))
    const indices = Array.from({ length: 200 }, (_, i) => 40 * i)
    const pictures = new Uint8Array(indices.length * 1024)
    await dataSet.read(indices, pictures)
    const classes = indices.map((index) => dataSet.classOf(index))
    await dataSet.close()
    const accuracies: number[] = []
    for (const time of [10, 120, 199]) accuracies.push(await accuracyAt(classifier, pictures, classes, time))
    const [clear = 0, noisy = 0, noise = 0] = accuracies
    expect(clear).toBeGreaterThan(0.65)
    expect(noisy).toBeGreaterThan(0.3)
    expect(noisy).toBeLessThan(clear)
    expect(noise).toBeLessThan(0.25)
  })

  test('guides an unconditional model to trousers and bags, which it then recognises', async () => {
    using classifier = await NoisyClassifier.load(at('classifier'))
    using model = await Diffusion.load(at('model'))
    const classes = [1, 8]
    const shareAt = async (scale: number): Promise<number> => {
      const guides = [{ gradient: classifier.guide({ classes: ['Trouser', 'Bag'] }), scale }]
      const images = await model.sample({ count: 40, steps: 25, guides })
      const wanted = Array.from({ length: 40 }, (_, n) => classes[n % 2] ?? 0)
      return accuracyAt(classifier, images.data, wanted, 10)
    }
    expect(await shareAt(0)).toBeLessThan(0.4)
    expect(await shareAt(6)).toBeGreaterThan(0.7)
  })
})
