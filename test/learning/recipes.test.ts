/** Every recipe learns, made small: its loss falls well below that of a network that says nothing, and is what it should be. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DataSettings } from '../../lib/datasets/list.js'
import { memory, Trainer } from '../../lib/index.js'
import { clothes, firstLoss, shortRun, writeSmallClothes } from './short-run.js'

const folder = mkdtempSync(join(tmpdir(), 'dpm-recipes-'))
let data: DataSettings

const refinenet = { kind: 'refinenet', channels: 8, multipliers: [1, 2], dilations: [1, 1], blocks: 1 }

/**
 * What a network that answers 0 has on the first batch, and what the last 50 updates reach, at most. Noise and scaled scores
 * have a power of 1 (½ by score matching's factor), flow 1 and that of the images; EDM's targets have 1 where the images have its
 * sigmaData, which these, mostly background at -1, exceed. VDM's is the whole bound in nats, over 18 units of ln snr.
 */
const cases = [
  { recipe: 'iddpm', silent: 1, reached: 0.2 },
  { recipe: 'ncsnv2', silent: 0.5, reached: 0.15 },
  { recipe: 'ncsnv2', silent: 0.5, reached: 0.15, network: refinenet },
  // Its output, the score, has another size at every level.
  { recipe: 'ncsn', silent: 0.5, reached: 0.35, network: { ...refinenet, levels: 10, pooling: 'mean' } },
  { recipe: 'score-sde-vp', silent: 1, reached: 0.17 },
  { recipe: 'score-sde-ve', silent: 0.5, reached: 0.15 },
  { recipe: 'edm', silent: 1.8, reached: 0.6 },
  { recipe: 'flow-matching', silent: 1.75, reached: 0.5 },
  { recipe: 'ot-cfm', silent: 1.75, reached: 0.5 },
  { recipe: 'vdm', silent: 10.2, reached: 6 },
] as readonly {
  readonly recipe: string
  readonly silent: number
  readonly reached: number
  /** Instead of the small U-Net. */
  readonly network?: Readonly<Record<string, unknown>>
}[]

describe.skipIf('reason' in clothes)('made small', () => {
  beforeAll(async () => {
    data = await writeSmallClothes(folder)
  })
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true })
    expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
  })

  test.each(cases.map((each) => ({ ...each, title: each.network ? `${each.recipe}, small RefineNet` : each.recipe })))(
    '$title learns, and its first loss is that of the formulas',
    async ({ recipe, silent, reached, network }) => {
      await using trainer = await Trainer.create(shortRun(recipe, data, network ? { network } : {}))
      const first = await firstLoss(trainer)
      const losses: number[] = []
      for await (const { loss } of trainer.steps()) losses.push(loss)
      expect(Math.abs((losses[0] ?? Number.NaN) / first.loss - 1)).toBeLessThan(1e-5)
      expect(Math.abs(first.silent / silent - 1)).toBeLessThan(0.1)
      expect(mean(losses.slice(-50))).toBeLessThan(reached)
    },
  )
})

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
