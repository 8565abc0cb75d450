/** Two step networks must learn together: a bound below what the data's own histogram gives, and a forward step that moved. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Diffusion, evaluateLikelihood, likelihoodModel, openDataSet, Trainer } from '../../lib/index.js'
import { clothes, shortRun, writeSmallClothes } from './short-run.js'

describe.skipIf('reason' in clothes)('the recipe modified-ddp, made small, on grey clothes of 16×16', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dpm-modified-'))
  const out = join(folder, 'run')
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  beforeAll(async () => {
    const changes = {
      network: { kind: 'modified-ddp', channels: 12, forwardChannels: 6, multipliers: [1, 2], dropout: 0.1 },
      training: { batch: 32, averaging: [{ kind: 'warmup', decay: 0.95 }] },
      budget: { steps: 300 },
    }
    const settings = shortRun('modified-ddp', await writeSmallClothes(folder), changes)
    await using trainer = await Trainer.create({ ...settings, out })
    await trainer.train()
  })

  test('reaches a bound of 5.5 bits a dimension, of 8 that say nothing', async () => {
    using model = await Diffusion.load(out, { device: 'cpu' })
    const dataSet = await openDataSet(shortRun('modified-ddp', await writeSmallClothes(folder), {}).data)
    const method = { kind: 'vlb', times: 20 } as const
    const { bitsPerDimension } = await evaluateLikelihood(likelihoodModel(model, dataSet), dataSet, {
      method,
      images: 64,
    })
    expect(bitsPerDimension).toBeLessThan(5.5)
    await dataSet.close()
    const moved = await model.network.read('forwardStep.output.weight')
    expect(Math.hypot(...(await moved.data()))).toBeGreaterThan(0.01)
    moved.dispose()
  })
})
