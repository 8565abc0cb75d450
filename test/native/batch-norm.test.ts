/** Batch norm: what its running statistics become, and when they do not. */
import { describe, expect, test } from 'vitest'
import type { NetworkHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { contextUnet } from '../../lib/networks/context-unet.js'
import { holdHandles } from './handles.js'
import { drawImages, readParameters, runForward, tinyElements } from './tiny-unet.js'
import { batchOf, createTraining, mixturesOf, planOf, readState, relativeDistance, update } from './training-batch.js'

const held = holdHandles()
const image = { channels: 3, height: 8, width: 8 }
const channels = 8
const row = { cNoise: 0.5 }
const still = { ...update, learningRate: 0, averagingDecays: [0.5] }

async function create(): Promise<NetworkHandle> {
  const settings = contextUnet.options.parse({ kind: 'context-unet', channels })
  return held(await loadBinding().networkCreate('context-unet', contextUnet.native(settings, image, 0), 3, 'cpu'))
}

/** Mean and unbiased variance of each channel of the first convolution, over a batch of mixed images. */
function statisticsOf(
  x: Float64Array,
  weight: Float32Array,
  bias: Float32Array,
): { mean: number[]; variance: number[] } {
  const mean: number[] = []
  const variance: number[] = []
  const count = x.length / tinyElements
  for (let out = 0; out < channels; out++) {
    const values: number[] = []
    for (let n = 0; n < count; n++) {
      for (let y = 0; y < 8; y++) {
        for (let column = 0; column < 8; column++) {
          let sum = bias[out] ?? 0
          for (let c = 0; c < 3; c++) {
            for (let tap = 0; tap < 9; tap++) {
              const [i, j] = [y + Math.floor(tap / 3) - 1, column + (tap % 3) - 1]
              if (i < 0 || j < 0 || i > 7 || j > 7) continue
              sum += (weight[(out * 3 + c) * 9 + tap] ?? 0) * (x[n * tinyElements + c * 64 + i * 8 + j] ?? 0)
            }
          }
          values.push(sum)
        }
      }
    }
    const middle = values.reduce((sum, value) => sum + value, 0) / values.length
    mean.push(middle)
    variance.push(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1))
  }
  return { mean, variance }
}

const firstNorm = (values: ReadonlyMap<string, Float32Array>, kind: string): Float32Array =>
  values.get(`input.norm1.${kind}`) ?? new Float32Array()

describe('running statistics', () => {
  test('go a tenth of the way to each micro-batch, its variance unbiased; averaged copies have them as they are', async () => {
    const network = await create()
    const before = await readParameters(network)
    const weight = before.get('input.conv1.weight') ?? new Float32Array()
    const bias = before.get('input.conv1.bias') ?? new Float32Array()
    const training = await createTraining(held, network, { averages: 1 })
    const expected = { mean: new Array<number>(channels).fill(0), variance: new Array<number>(channels).fill(1) }
    for (const [k, examples] of [
      [0, 1],
      [2, 3],
      [4, 5, 6],
      [7, 8],
    ].entries()) {
      const plan = planOf(examples, { row })
      // Two updates of two micro-batches each.
      const changes = { total: 5, first: k % 2 === 0, update: k % 2 === 1 ? { ...still, step: (k + 1) / 2 } : null }
      await loadBinding().trainingStep(training, batchOf(held, plan, changes), null)
      const batch = statisticsOf(mixturesOf(plan).x, weight, bias)
      for (const kind of ['mean', 'variance'] as const) {
        expected[kind] = expected[kind].map((value, c) => 0.9 * value + 0.1 * (batch[kind][c] ?? 0))
      }
    }
    const after = await readParameters(network)
    expect(after.get('input.conv1.weight')).toEqual(weight)
    expect(relativeDistance(firstNorm(after, 'mean'), expected.mean)).toBeLessThan(1e-5)
    expect(relativeDistance(firstNorm(after, 'variance'), expected.variance)).toBeLessThan(1e-5)
    const state = await readState(training)
    expect(state.get('average.0.input.norm1.mean')).toEqual(firstNorm(after, 'mean'))
    expect(state.get('average.0.input.norm1.variance')).toEqual(firstNorm(after, 'variance'))
  })

  test('are those from before the batch when one of its micro-batches is not finite', async () => {
    const network = await create()
    const before = await readParameters(network)
    const training = await createTraining(held, network, { averages: 1 })
    const part = { total: 4, update: null }
    await loadBinding().trainingStep(training, batchOf(held, planOf([0, 1], { row }), part), null)
    expect(firstNorm(await readParameters(network), 'mean')).not.toEqual(firstNorm(before, 'mean'))
    const bad = planOf([2, 3], { row: { ...row, alpha: Number.NaN } })
    const last = { total: 4, first: false, update: still }
    const report = await loadBinding().trainingStep(training, batchOf(held, bad, last), null)
    expect(report.finite).toBe(false)
    expect(await readParameters(network)).toEqual(before)
  })

  test('stay in a forward pass outside training, which no other example reaches', async () => {
    const network = await create()
    const before = await readParameters(network)
    const images = drawImages(3)
    const all = await runForward(held, network, { values: images, shape: [3, 3, 8, 8] }, Float64Array.of(0.5, 0.5, 0.5))
    const changed = images.map((value, i) => (i < tinyElements ? value : 5 * value))
    const other = await runForward(
      held,
      network,
      { values: changed, shape: [3, 3, 8, 8] },
      Float64Array.of(0.5, 0.1, 1),
    )
    expect(other.subarray(0, tinyElements)).toEqual(all.subarray(0, tinyElements))
    expect(await readParameters(network)).toEqual(before)
  })
})
