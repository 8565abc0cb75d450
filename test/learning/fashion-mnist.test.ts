/** A short training on real images must learn: reach a stated loss, and draw images whose statistics are the data's. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Diffusion, memory, Trainer } from '../../lib/index.js'

const { findFashionMnist } = (await import(new URL('../../scripts/fashion-mnist.mjs', import.meta.url).href)) as {
  findFashionMnist(): Promise<{ folder: string } | { reason: string }>
}
const found = await findFashionMnist()
if ('reason' in found) console.warn(`Skipped: Fashion-MNIST is not to be had: ${found.reason}.`)

const steps = 300

describe.skipIf('reason' in found)('a small U-Net on Fashion-MNIST', () => {
  const out = join(mkdtempSync(join(tmpdir(), 'dpm-learning-')), 'run')
  const losses: number[] = []
  let pixelMean = 0
  let pixelDeviation = 0

  beforeAll(async () => {
    await using trainer = await Trainer.create({
      out,
      data: { kind: 'idx', folder: 'folder' in found ? found.folder : '', split: 'test', padding: 2, names: 'fashion' },
      network: {
        kind: 'unet',
        channels: 16,
        multipliers: [1, 2, 4],
        blocks: 1,
        attentionResolutions: [8],
        groups: 8,
        groupEpsilon: 1e-5,
        resampling: 'pool',
        classConditional: true,
      },
      diffusion: { prediction: 'velocity', schedule: { kind: 'cosine' } },
      training: {
        batch: 32,
        learningRate: { peak: 2e-3, warmupSteps: 20, decay: 'cosine' },
        averaging: [{ kind: 'warmup', decay: 0.98 }],
      },
      budget: { steps },
      previews: { everySteps: 0 },
    })
    for await (const { loss } of trainer.steps()) losses.push(loss)
    await trainer.checkpoint()
    const pixels = new Uint8Array(1000 * 1024)
    await trainer.dataSet.read(
      Array.from({ length: 1000 }, (_, i) => i),
      pixels,
    )
    ;[pixelMean, pixelDeviation] = moments(pixels)
  })

  afterAll(() => {
    rmSync(out, { recursive: true, force: true })
    expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0 })
  })

  test('starts near the loss of predicting nothing and ends below 0.2', () => {
    expect(losses).toHaveLength(steps)
    expect(mean(losses.slice(0, 3))).toBeGreaterThan(0.8)
    expect(mean(losses.slice(-50))).toBeLessThan(0.2)
  })

  test("draws images with the data's mean and spread of brightness", async () => {
    using model = await Diffusion.load(out)
    const images = await model.sample({ count: 100, steps: 25, classes: [...Array(10).keys()] })
    const [drawnMean, drawnDeviation] = moments(images.data)
    expect(Math.abs(drawnMean - pixelMean)).toBeLessThan(20)
    expect(Math.abs(drawnDeviation - pixelDeviation)).toBeLessThan(20)
  })

  test('draws trousers that are darker than coats, as they are', async () => {
    using model = await Diffusion.load(out)
    const draw = async (name: string) =>
      moments((await model.sample({ count: 32, steps: 25, classes: [name], guidance: 2 })).data)[0]
    expect(await draw('Trouser')).toBeLessThan((await draw('Coat')) - 15)
  })
})

function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] ?? 0
  return sum / values.length
}

function moments(pixels: Uint8Array): [mean: number, deviation: number] {
  const center = mean(pixels)
  let sum = 0
  for (const pixel of pixels) sum += (pixel - center) ** 2
  return [center, Math.sqrt(sum / pixels.length)]
}
