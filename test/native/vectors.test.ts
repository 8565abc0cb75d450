/** Runs on vectors, from training to what is drawn: their scale travels with the model, and nothing takes them for pictures. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { dataSchema } from '../../lib/datasets/list.js'
import { Diffusion, evaluateLikelihood, likelihoodModel, memory, openDataSet, Trainer } from '../../lib/index.js'
import type { RunOptions } from '../../lib/training/run-options.js'
import { command, makeFolder } from './command.js'

const folder = makeFolder()
afterAll(() => folder.remove())
afterEach(() => {
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

const file = join(folder.path, 'table.csv')
const options: RunOptions = {
  data: { kind: 'table', file, classColumn: 'kind' },
  network: { kind: 'mlp', width: 16, depth: 2, timeChannels: 16, classConditional: true },
  diffusion: { schedule: { kind: 'cosine', steps: 20 }, prediction: 'velocity', clip: 'none' },
  training: { batch: 16, learningRate: { peak: 1e-3 }, averaging: [] },
  budget: { steps: 4 },
  previews: { everySteps: 2, steps: 5, columns: 6, rows: 2 },
  log: { tensorboard: false },
  device: 'cpu',
}

/** Metres and millimetres: what networks see must be neither. */
function rows(count: number): string {
  const lines = Array.from({ length: count }, (_, n) => {
    const share = (n + 0.5) / count
    return `${5000 + 100 * share},${0.002 * (1 - share) + 0.001},${n % 2 === 0 ? 'a' : 'b'}`
  })
  return `height,width,kind\n${lines.join('\n')}\n`
}

beforeAll(() => writeFileSync(file, rows(40)))

describe('a run on a table', () => {
  const out = join(folder.path, 'run')

  beforeAll(async () => {
    await using trainer = await Trainer.create({ ...options, out })
    expect(trainer.dataSet.classes).toEqual(['a', 'b'])
    const { written } = await trainer.train()
    expect(written.map((path) => path.slice(out.length + 1))).toEqual([
      'checkpoints/step-00000004.safetensors',
      'samples/step-00000004.png',
      'samples/denoising.gif',
    ])
  })

  test('draws rows in the units of the columns, each its own in any company', async () => {
    using model = await Diffusion.load(out, { device: 'cpu' })
    const { names, means, deviations } = model.image.columns ?? { names: [], means: [], deviations: [] }
    expect(names).toEqual(['height', 'width'])
    const vectors = await model.sampleVectors({ count: 8, classes: ['b', 'a'], steps: 5, seed: 1 })
    expect([vectors.columns, vectors.length, [...(vectors.labels ?? [])]]).toEqual([names, 8, [1, 0, 1, 0, 1, 0, 1, 0]])
    // Hardly trained, samples are near what they came out of: normals, in the columns' units.
    vectors.data.forEach((value, i) => {
      expect(Math.abs(value - (means[i % 2] ?? 0)) / (deviations[i % 2] ?? 0)).toBeLessThan(8)
    })
    const [one, all] = [
      { samples: [5], classes: ['a'], chunk: 4 },
      { count: 8, classes: ['b', 'a'], chunk: 4 },
    ]
    const alone = await model.sampleVectors({ ...one, steps: 5, seed: 1 })
    const company = await model.sampleVectors({ ...all, steps: 5, seed: 1 })
    expect([...alone.data]).toEqual([...company.data.slice(10, 12)])
  })

  test('draws no pictures, and a model of pictures no rows', async () => {
    using model = await Diffusion.load(out, { device: 'cpu' })
    await expect(model.sample()).rejects.toThrow('draws vectors of height, width, not pictures. Use `sampleVectors`')
    await expect(model.sampleSteps().next()).rejects.toThrow('Use `sampleVectors`')
  })

  test('has a likelihood in the units of the columns, and none of 8-bit values', async () => {
    using model = await Diffusion.load(out, { device: 'cpu' })
    const dataSet = await openDataSet(dataSchema.parse(options.data))
    const asked = likelihoodModel(model, dataSet)
    const method = { kind: 'ode', trace: 'exact', solver: 'rk4', steps: 8 } as const
    const { bitsPerDimension, details } = await evaluateLikelihood(asked, dataSet, { method, images: 4 })
    const deviations = model.image.columns?.deviations ?? []
    const offset = deviations.reduce((sum, deviation) => sum + Math.log2(deviation), 0) / 2
    expect(details).toMatchObject({ kind: 'ode', offset: expect.closeTo(offset, 9) })
    expect(bitsPerDimension - offset).toBeGreaterThan(0)
    expect(bitsPerDimension - offset).toBeLessThan(5)
    // The same rows in another scale are as likely.
    const shifted = { ...dataSet, columns: { ...model.image.columns, means: [0, 0] } }
    expect(shifted.columns.means).not.toEqual(model.image.columns?.means)
    await expect(evaluateLikelihood(asked, dataSet, { method: 'vlb' })).rejects.toThrow(
      'The method "vlb" is of 8-bit values, and the data set table has vectors. Use the method "ode".',
    )
    await dataSet.close()
  })

  test('goes on only with columns of the same scale', async () => {
    await (await Trainer.create({ out, resume: true, budget: { steps: 5 } })).close()
    writeFileSync(file, rows(40).replace('5001.25', '5003'))
    try {
      await expect(Trainer.create({ out, resume: true })).rejects.toThrow('columns of other names, means or deviations')
    } finally {
      writeFileSync(file, rows(40))
    }
  })

  test('from the command line draws a table, a picture and an animation', async () => {
    const drawn = await command(['sample', out, '--count', '5', '--gif', 'points.gif', '--json'], folder.path)
    expect(drawn.stderr).not.toContain('Error')
    const { grid, files } = JSON.parse(drawn.stdout) as { grid: string; files: string[] }
    expect([grid, ...files].map((path) => path.slice(out.length + 1))).toEqual([
      'samples/sample-0001.png',
      'samples/sample-0001.csv',
    ])
    expect(readFileSync(files[0] ?? '', 'utf8').split('\n')).toHaveLength(7)
    expect(existsSync(join(folder.path, 'points.gif'))).toBe(true)
    const table = await command(['sample', out, '--count', '3', '--out', 'drawn.npy'], folder.path)
    expect([table.code, table.stdout.trim()]).toEqual([0, 'drawn.npy'])
    const wrong = await command(['sample', out, '--files', '--out', 'folder'], folder.path)
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('--files is about pictures')])
    const bits = await command(['likelihood', out, '--images', '3', '--json'], folder.path)
    expect(JSON.parse(bits.stdout)).toMatchObject({ details: { kind: 'ode' } })
  })
})

test.each([
  [{ diffusion: { clip: 'range' } }, '`diffusion.clip` keeps values in the range of pictures'],
  [{ diffusion: { clip: 'none', bound: 'vlb' } }, '`diffusion.bound` has a decoder of 8-bit values'],
  [{ training: { flip: true } }, '`training.flip` mirrors pictures'],
] as const)('a run with %j is refused where data is vectors', async (changes, message) => {
  const wrong = { ...options, ...changes } as RunOptions
  await expect(Trainer.create(wrong)).rejects.toThrow(message)
})
