/** Objectives that no recipe has as its own learn too: sliced score matching, the bound alone, importance sampling, uncertainty. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DataSettings } from '../../lib/datasets/list.js'
import { memory, Trainer } from '../../lib/index.js'
import { clothes, firstLoss, shortRun, writeSmallClothes } from './short-run.js'

const folder = mkdtempSync(join(tmpdir(), 'dpm-objectives-'))
let data: DataSettings

describe.skipIf('reason' in clothes)('a tiny U-Net on small clothes', () => {
  beforeAll(async () => {
    data = await writeSmallClothes(folder)
  })
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true })
    expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
  })

  test('learns by sliced score matching, whose loss is the plain one less 1 in the mean', async () => {
    const changes = { diffusion: { schedule: { kind: 'cosine', steps: 200 }, loss: 'sliced' }, budget: { steps: 100 } }
    await using plain = await Trainer.create(
      shortRun('ddpm-cifar10', data, { diffusion: { schedule: changes.diffusion.schedule } }),
    )
    const first = await firstLoss(plain)
    await using trainer = await Trainer.create(shortRun('ddpm-cifar10', data, changes))
    const losses: number[] = []
    for await (const { loss } of trainer.steps()) losses.push(loss)
    expect(Math.abs((losses[0] ?? Number.NaN) + 1 - first.loss)).toBeLessThan(0.1)
    expect(mean(losses.slice(-50)) + 1).toBeLessThan(0.4)
  })

  test('learns by the variational bound alone: from its formulas to well below the bits of silence', async () => {
    const changes = {
      diffusion: { schedule: { kind: 'cosine', steps: 100 }, bound: { kind: 'vlb' } },
      budget: { steps: 250 },
    }
    await using trainer = await Trainer.create(shortRun('iddpm', data, changes))
    const first = await firstLoss(trainer)
    const losses: number[] = []
    for await (const { loss } of trainer.steps()) losses.push(loss)
    expect(Math.abs((losses[0] ?? Number.NaN) / first.loss - 1)).toBeLessThan(1e-5)
    expect(first.silent).toBeGreaterThan(25)
    expect(mean(losses.slice(-50))).toBeLessThan(16)
  })

  test('learns by it with times chosen by importance, which makes its loss steady', async () => {
    const times = { kind: 'loss-second-moment', history: 2 }
    const changes = {
      diffusion: { schedule: { kind: 'cosine', steps: 100 }, bound: { kind: 'vlb' }, times },
      budget: { steps: 250 },
    }
    await using trainer = await Trainer.create(shortRun('iddpm', data, changes))
    const losses: number[] = []
    for await (const { loss } of trainer.steps()) losses.push(loss)
    const last = losses.slice(-50)
    expect(mean(last)).toBeLessThan(9)
    // Even times leave a deviation of more than the mean itself.
    expect(Math.sqrt(mean(last.map((loss) => (loss - mean(last)) ** 2)))).toBeLessThan(0.3 * mean(last))
  })

  test("learns by EDM's loss with uncertainty: from the plain loss to 1 + ln of it, less what levels differ by", async () => {
    const weighting = { kind: 'uncertainty', of: { kind: 'edm', sigmaData: 0.5 }, learningRate: 0.02 }
    await using trainer = await Trainer.create(shortRun('edm', data, { diffusion: { weighting } }))
    const first = await firstLoss(trainer)
    const losses: number[] = []
    for await (const { loss } of trainer.steps()) losses.push(loss)
    expect(Math.abs((losses[0] ?? Number.NaN) / first.loss - 1)).toBeLessThan(1e-5)
    // The plain loss ends near 0.47.
    expect(mean(losses.slice(-50))).toBeLessThan(1 + Math.log(0.55))
  })
})

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
