/** A perceptron on points must learn their law: the distance of samples to the data, and the likelihood where it is known. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { dataSchema } from '../../lib/datasets/list.js'
import { eightGaussiansScale, type PointLawName } from '../../lib/datasets/point-laws.js'
import { Vectors } from '../../lib/generation/vectors.js'
import { Diffusion, evaluateLikelihood, likelihoodModel, memory, openDataSet, Trainer } from '../../lib/index.js'

const folder = mkdtempSync(join(tmpdir(), 'dpm-points-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0 })
})

const steps = 1200

/** The recipe in a third of its time. @returns its folder */
async function train(law: PointLawName): Promise<string> {
  const out = join(folder, law)
  const changes = { data: { law }, budget: { steps }, previews: { everySteps: 0 }, device: 'cpu' } as const
  await using trainer = await Trainer.create({ recipe: 'swiss-roll', ...changes, out })
  await trainer.train()
  return out
}

/** Szekely's energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'|, 0 only between equal laws. */
function energyDistance(x: Vectors, y: Vectors): number {
  const between = (a: Vectors, b: Vectors): number => {
    let sum = 0
    let pairs = 0
    for (let n = 0; n < a.length; n++) {
      for (let m = 0; m < b.length; m++) {
        if (a === b && n === m) continue
        sum += Math.hypot(...a.columns.map((_, i) => (a.data[2 * n + i] ?? 0) - (b.data[2 * m + i] ?? 0)))
        pairs += 1
      }
    }
    return sum / pairs
  }
  return 2 * between(x, y) - between(x, x) - between(y, y)
}

async function points(law: PointLawName, count: number): Promise<Vectors> {
  const dataSet = await openDataSet(dataSchema.parse({ kind: 'points', law, count, split: 'test' }))
  return Vectors.first(dataSet, count)
}

// Untrained, samples are normals of the data's deviations: their distance is stated to show what is gained.
test.each([
  ['swiss-roll', 0.02, 0.004],
  ['8-gaussians', 0.02, 0.007],
] as const)('%s: samples come from energy distance %d to within %d of the data', async (law, before, after) => {
  const data = await points(law, 1000)
  using model = await Diffusion.load(await train(law), { device: 'cpu' })
  const samples = await model.sampleVectors({ count: 1000, steps: 50 })
  const { means = [], deviations = [] } = model.image.columns ?? {}
  using noise = await model.noise({ samples: Array.from({ length: 1000 }, (_, n) => n) })
  const normals = Float64Array.from(await noise.data(), (z, i) => (means[i % 2] ?? 0) + z * (deviations[i % 2] ?? 0))
  expect(energyDistance(new Vectors(['x', 'y'], normals), data)).toBeGreaterThan(before)
  expect(energyDistance(samples, data)).toBeLessThan(after)
})

describe('the 8 Gaussians', () => {
  test('the likelihood of held-out points is within 0.4 bits a dimension of the closed form', async () => {
    using model = await Diffusion.load(join(folder, '8-gaussians'), { device: 'cpu' })
    const count = 200
    const dataSet = await openDataSet(dataSchema.parse({ kind: 'points', count, split: 'test' }))
    const method = { kind: 'ode', trace: 'exact', solver: 'heun', steps: 40 } as const
    const asked = likelihoodModel(model, dataSet, { chunk: count })
    const { bitsPerDimension } = await evaluateLikelihood(asked, dataSet, { method, batch: count })
    const { data } = await Vectors.first(dataSet, count)
    const { radius, deviation } = eightGaussiansScale
    let exact = 0
    for (let n = 0; n < count; n++) {
      let density = 0
      for (let k = 0; k < 8; k++) {
        const off = [Math.cos, Math.sin].map(
          (side, i) => ((data[2 * n + i] ?? 0) - radius * side((k * Math.PI) / 4)) / deviation,
        )
        const squares = Math.hypot(...off) ** 2
        density += Math.exp(-squares / 2) / (2 * Math.PI * deviation ** 2) / 8
      }
      exact -= Math.log2(density) / 2 / count
    }
    expect(bitsPerDimension).toBeGreaterThan(exact - 0.05)
    expect(bitsPerDimension).toBeLessThan(exact + 0.4)
  })
})
