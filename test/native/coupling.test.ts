/** Minibatch optimal transport in training: the batch that is trained is the one with its noise dealt out by hand. */
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createBatches } from '../../lib/datasets/batches.js'
import { openDataSet } from '../../lib/datasets/list.js'
import { createProcess } from '../../lib/diffusion/diffusion-options.js'
import { memory, Network, Tensor, Trainer } from '../../lib/index.js'
import { normals } from '../../lib/random/philox.js'
import { type RunOptions, type RunSettings, runOptions } from '../../lib/training/run-options.js'
import { TrainState } from '../../lib/training/train-state.js'
import { runUpdate, type UpdateReport } from '../../lib/training/update.js'
import { checkpointPath, differences, makeFolder, tinyOptions, writeIdx } from './command.js'

const folder = makeFolder()
const size = 64
const count = 6

beforeAll(() => writeIdx(folder.path, 24))
afterAll(() => folder.remove())
afterEach(() => {
  expect(memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})

const coupled: RunOptions = {
  ...tinyOptions(folder.path),
  diffusion: {
    schedule: 'rectified-flow',
    prediction: 'flow',
    timeLabel: 'fraction',
    coupling: 'optimal-transport',
    clip: { kind: 'none' },
  },
  previews: { everySteps: 0 },
  device: 'cpu',
  seed: 3,
}

function settingsOf(coupling: 'independent' | 'optimal-transport', microBatch: number | null): RunSettings {
  const options = {
    ...coupled,
    network: { ...coupled.network, dropout: 0.2, zeroLayers: 'none' },
    diffusion: { ...coupled.diffusion, coupling },
    training: { batch: count, microBatch, flip: true, clipNorm: 0, averaging: [], learningRate: { peak: 1e-3 } },
  }
  return runOptions.parse(options, 'test')
}

/** The cheapest of all ways to deal the noises out to the images, by trying each. */
function cheapest(costs: readonly (readonly number[])[]): number[] {
  let best = { total: Number.POSITIVE_INFINITY, noises: [] as number[] }
  const deal = (noises: number[], total: number): void => {
    const image = noises.length
    if (image === costs.length) {
      if (total < best.total) best = { total, noises }
      return
    }
    costs[image]?.forEach((cost, noise) => {
      if (!noises.includes(noise)) deal([...noises, noise], total + cost)
    })
  }
  deal([], 0)
  return best.noises
}

interface Updated {
  readonly report: UpdateReport
  readonly gradient: Float32Array
}

const update = { learningRate: 1e-3, step: 1, averagingDecays: [] }

/** One update of a new network on the first batch, and its gradient. */
async function updated(
  settings: RunSettings,
  work: (parts: {
    state: TrainState
    context: Parameters<typeof runUpdate>[0]
    batch: Parameters<typeof runUpdate>[2]
  }) => Promise<UpdateReport>,
): Promise<Updated> {
  const dataSet = await openDataSet(settings.data)
  const batches = createBatches(dataSet, { batch: count, seed: Number(settings.seed), flip: true, prefetch: 0 })
  const { value: batch } = await batches.next()
  await batches.return(undefined as never)
  const network = await Network.build(settings.network, { image: dataSet, classes: 10, seed: 1, device: 'cpu' })
  using state = await TrainState.create(network, settings)
  const process = createProcess(settings.diffusion)
  const report = await work({ state, batch, context: { settings, dataSet, process } })
  // The first moment after one update is 0.1 · gradient.
  const first = state.tensors().filter(({ name }) => name.startsWith('optimizer.first.'))
  const parts = await Promise.all(first.map(({ read }) => read()))
  await dataSet.close()
  return { report, gradient: new Float32Array(new Uint8Array(Buffer.concat(parts)).buffer) }
}

/** The same batch with the noise keys that all permutations were tried for, in float64. */
function byHand(settings: RunSettings): Promise<Updated> {
  return updated(settings, async ({ state, batch, context }) => {
    const clean = Float64Array.from(batch.images, (byte) => byte / 127.5 - 1)
    const noise = Array.from(batch.indices, (example, n) =>
      normals(Number(settings.seed), 'training', batch.epochs[n] ?? 0, example, size),
    )
    const costs = Array.from({ length: count }, (_, n) =>
      noise.map((values) => values.reduce((sum, value, i) => sum + ((clean[n * size + i] ?? 0) - value) ** 2, 0)),
    )
    const noises = cheapest(costs)
    // Or the test would say nothing.
    expect(noises).not.toEqual(noises.toSorted())
    using images = Tensor.from(batch.images, [count, 1, 8, 8])
    const { diffusion } = settings
    const seed = Number(settings.seed)
    const { loss, gradientNorm, losses, finite } = await state.step({
      images: images.handle,
      classes: batch.classes,
      condition: null,
      rows: context.process.objective.draw({ seed, step: 0, epochs: batch.epochs, examples: batch.indices }).rows,
      examples: batch.indices,
      epochs: batch.epochs,
      noiseExamples: Float64Array.from(noises, (one) => batch.indices[one] ?? 0),
      noiseEpochs: Float64Array.from(noises, (one) => batch.epochs[one] ?? 0),
      forwardStep: null,
      seed,
      total: count,
      loss: diffusion.loss,
      lossScale: diffusion.lossScale,
      detachMean: false,
      rowGradients: false,
      first: true,
      update,
    })
    return { loss, gradientNorm, losses: [...losses], finite, skipped: false }
  })
}

function byTrainer(settings: RunSettings): Promise<Updated> {
  return updated(settings, ({ state, batch, context }) => runUpdate(context, state, batch, update, undefined))
}

describe('an update with optimal transport', () => {
  test('is to the bit the one with the cheapest permutation of its noise', async () => {
    const settings = settingsOf('optimal-transport', null)
    const [trained, wanted] = [await byTrainer(settings), await byHand(settings)]
    expect(trained.report).toEqual(wanted.report)
    expect(trained.gradient).toEqual(wanted.gradient)
    const own = await byTrainer(settingsOf('independent', null))
    expect(own.report.loss).not.toBe(trained.report.loss)
  })

  test('pairs the whole batch also where it is computed in parts', async () => {
    const wanted = await byHand(settingsOf('optimal-transport', null))
    const parts = await byTrainer(settingsOf('optimal-transport', 4))
    expect(Math.abs(parts.report.loss / wanted.report.loss - 1)).toBeLessThan(1e-6)
    let [difference, norm] = [0, 0]
    wanted.gradient.forEach((value, i) => {
      difference += (value - (parts.gradient[i] ?? Number.NaN)) ** 2
      norm += value ** 2
    })
    expect(Math.sqrt(difference / norm)).toBeLessThan(1e-5)
  })
})

test('a run that is resumed ends in the bytes of one that was not', async () => {
  const [straight, halves] = [join(folder.path, 'straight'), join(folder.path, 'halves')]
  const run = async (out: string, steps: number, resume: boolean): Promise<void> => {
    const options = resume ? { resume } : coupled
    await using trainer = await Trainer.create({ ...options, budget: { steps }, out })
    await trainer.train()
  }
  await run(straight, 8, false)
  await run(halves, 5, false)
  await run(halves, 8, true)
  expect(await differences(checkpointPath(straight, 8), checkpointPath(halves, 8))).toEqual([])
})
