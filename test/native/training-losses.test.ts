/** Losses with a scale, and sliced score matching. */
import { describe, expect, test } from 'vitest'
import type { NativeBatch, NetworkHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { normals } from '../../lib/random/philox.js'
import { createTensor, holdHandles } from './handles.js'
import { type Gradient, passGradient, stepGradient } from './network-gradient.js'
import { createTinyUnet, readParameters, runForward, tinyElements, tinyImage } from './tiny-unet.js'
import { batchOf, createTraining, mixturesOf, planOf, relativeDistance } from './training-batch.js'

const held = holdHandles()

/** Value and slope at a difference. */
const scaled = {
  huber: (d: number, c: number) => (Math.abs(d) < c ? [(d * d) / 2, d] : [c * (Math.abs(d) - c / 2), Math.sign(d) * c]),
  'pseudo-huber': (d: number, c: number) => [Math.hypot(d, c) - c, d / Math.hypot(d, c)],
} as const

describe.each(Object.keys(scaled) as (keyof typeof scaled)[])('the %s loss', (loss) => {
  test.each([0.3, 2])('and its gradient are those of the formula at scale %d', async (lossScale) => {
    const plan = planOf([3, 1], { row: { weight: 0.7 } })
    const network = await createTinyUnet(held)
    const { report, gradient } = await stepGradient(held, network, batchOf(held, plan, { loss, lossScale }))
    const sums = [0, 0]
    const wanted = await passGradient(held, network, plan, (output, target) =>
      output.map((value, i) => {
        const [height = 0, slope = 0] = scaled[loss](value - (target[i] ?? 0), lossScale)
        const n = Math.floor(i / tinyElements)
        sums[n] = (sums[n] ?? 0) + height / tinyElements
        return (0.7 * slope) / (2 * tinyElements)
      }),
    )
    sums.forEach((sum, n) => void expect(Math.abs((report.losses[n] ?? 0) / sum - 1)).toBeLessThan(1e-5))
    expect(relativeDistance(gradient, wanted.gradient)).toBeLessThan(1e-5)
  })
})

test('the pseudo-Huber loss is half the square over the scale where the scale is large', async () => {
  const of = async (changes: Partial<NativeBatch>) =>
    (await stepGradient(held, await createTinyUnet(held), batchOf(held, planOf([1, 2]), changes))).report.loss
  const [square, large] = [await of({ loss: 'l2' }), await of({ loss: 'pseudo-huber', lossScale: 1e4 })]
  expect(Math.abs((large * 2e4) / square - 1)).toBeLessThan(1e-6)
})

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('a scale of %d is refused', async (lossScale) => {
  const training = await createTraining(held, await createTinyUnet(held))
  // The batch is read before there is a promise.
  const step = async () => loadBinding().trainingStep(training, batchOf(held, planOf([1]), { lossScale }), null)
  await expect(step()).rejects.toThrow('Expected a positive number for `lossScale`')
})

describe('sliced score matching', () => {
  const plan = planOf([3, 1, 8], { row: { weight: 0.4, cIn: 0.9 } })
  plan.rows.forEach((row, n) => void Object.assign(row, { sigma: 0.4 + 0.3 * n, alpha: 1 - 0.2 * n }))
  const batch = (changes: Partial<NativeBatch> = {}) => batchOf(held, plan, { loss: 'sliced', ...changes })

  test("is (v'J v + |s|^2 / 2) / D of the score -F / sigma, the Jacobian by finite differences", async () => {
    const network = await createTinyUnet(held)
    const probes = plan.examples.flatMap((example, n) =>
      Array.from(normals(plan.seed, 'probe', plan.epochs[n] ?? 0, example, tinyElements)),
    )
    const { x } = mixturesOf(plan)
    const labels = Float64Array.from(plan.rows, ({ cNoise }) => cNoise)
    const shape = [3, tinyImage.channels, tinyImage.height, tinyImage.width]
    const h = 1e-2
    const scoreAt = async (step: number) => {
      // x is cIn times the mixed image, by which the score is differentiated.
      const values = x.map((value, i) => value + step * (plan.rows[0]?.cIn ?? 0) * (probes[i] ?? 0))
      const output = await runForward(held, network, { values, shape }, labels)
      return output.map((value, i) => -value / (plan.rows[Math.floor(i / tinyElements)]?.sigma ?? 0))
    }
    const score = await scoreAt(0)
    // Of the fourth order: h may be large enough that float32's rounding does not show.
    const [above, below, far, deep] = [await scoreAt(h), await scoreAt(-h), await scoreAt(2 * h), await scoreAt(-2 * h)]
    const { report } = await stepGradient(held, network, batch())
    let loss = 0
    for (const n of [0, 1, 2]) {
      let wanted = 0
      for (let i = n * tinyElements; i < (n + 1) * tinyElements; i++) {
        const near = (above[i] ?? 0) - (below[i] ?? 0)
        const change = (8 * near - ((far[i] ?? 0) - (deep[i] ?? 0))) / (12 * h)
        wanted += ((probes[i] ?? 0) * change + 0.5 * (score[i] ?? 0) ** 2) / tinyElements
      }
      expect(Math.abs((report.losses[n] ?? 0) - wanted)).toBeLessThan(2e-4 * Math.abs(wanted))
      loss += (0.4 * wanted) / 3
    }
    expect(Math.abs(report.loss / loss - 1)).toBeLessThan(2e-4)
  })

  test.each([
    ['plain', {}],
    ['with dropout', { dropout: 0.3 }],
    ['with scale and shift, and resampling in blocks', { scaleShift: true, resampling: 'residual' }],
  ] as const)('has the gradient of its loss by the weights: %s', async (_, settings) => {
    const network = await createTinyUnet(held, { settings })
    const { gradient } = await stepGradient(held, network, batch())
    // Along the gradient, whose length is then the slope; and along a direction that has nothing to do with it.
    const weights = await readParameters(network)
    const length = Math.hypot(...gradient)
    const directions = [gradient, normals(5, 'initial', 0, 0, gradient.length)].map((vector) => {
      const size = Math.hypot(...vector)
      return Array.from(vector, (value) => value / size)
    })
    for (const direction of directions) {
      const slope = direction.reduce((sum, value, i) => sum + value * (gradient[i] ?? 0), 0)
      const h = 1e-2
      const across = async (step: number) =>
        (await lossAt(network, weights, direction, step)) - (await lossAt(network, weights, direction, -step))
      const change = (8 * (await across(h)) - (await across(2 * h))) / (12 * h)
      expect(Math.abs(change - slope)).toBeLessThan(5e-3 * length)
    }
  })

  /** The loss with every weight moved by h along a direction. */
  async function lossAt(
    network: NetworkHandle,
    weights: ReadonlyMap<string, Float32Array>,
    direction: readonly number[],
    h: number,
  ): Promise<number> {
    const binding = loadBinding()
    let at = 0
    const writes = binding.networkParameters(network).map(({ name, shape }) => {
      const moved = weights.get(name)?.map((value) => value + h * (direction[at++] ?? 0)) ?? []
      return binding.networkWrite(network, name, createTensor(held, moved, shape))
    })
    await Promise.all(writes)
    const training = await createTraining(held, network)
    return (await binding.trainingStep(training, batch({ update: null }), null)).loss
  }

  test.each([
    ['a bound', () => ({ rows: Float64Array.from(batch().rows, () => 1) }), 'has no bound and no row gradients'],
    ['row gradients', () => ({ rowGradients: true }), 'has no bound and no row gradients'],
  ])('refuses %s', async (_, change, message) => {
    const training = await createTraining(held, await createTinyUnet(held))
    await expect(loadBinding().trainingStep(training, batch(change()), null)).rejects.toThrow(message)
  })

  test('refuses a network with a learned variance', async () => {
    const training = await createTraining(held, await createTinyUnet(held, { outputs: 2 }))
    await expect(loadBinding().trainingStep(training, batch(), null)).rejects.toThrow('without a learned variance')
  })
})

describe('noise of other examples', () => {
  const expectSame = (actual: Gradient, wanted: Gradient) => {
    expect(actual.report).toEqual(wanted.report)
    expect(relativeDistance(actual.gradient, wanted.gradient)).toBe(0)
  }

  test('is what an image is mixed with, while dropout stays its own', async () => {
    // Two images that change places, with the noise keyed as before: the pictures and the noises of one batch, crossed.
    const plan = planOf([3, 1], { epochs: [2, 5] })
    const target = { ...plan, examples: [1, 3], epochs: [5, 2] }
    const network = await createTinyUnet(held)
    const crossed = await stepGradient(
      held,
      network,
      batchOf(held, plan, { noiseExamples: Float64Array.of(1, 3), noiseEpochs: Float64Array.of(5, 2) }),
    )
    expectSame(crossed, await stepGradient(held, network, batchOf(held, target)))

    const dropping = await createTinyUnet(held, { settings: { dropout: 0.5 } })
    const own = await stepGradient(
      held,
      dropping,
      batchOf(held, plan, { noiseExamples: Float64Array.of(3, 1), noiseEpochs: Float64Array.of(2, 5) }),
    )
    expectSame(own, await stepGradient(held, dropping, batchOf(held, plan)))
  })

  test.each([
    ['one list', { noiseExamples: Float64Array.of(1, 2) }, 'both `noiseExamples` and `noiseEpochs`'],
    ['lists too short', { noiseExamples: Float64Array.of(1), noiseEpochs: Float64Array.of(1) }, 'one `noiseExamples`'],
  ])('refuses %s', async (_, changes, message) => {
    const training = await createTraining(held, await createTinyUnet(held))
    const step = async () => loadBinding().trainingStep(training, batchOf(held, planOf([1, 2]), changes), null)
    await expect(step()).rejects.toThrow(message)
  })

  test.each(['float32', 'uint8'] as const)('pairing costs are the squared distances to %s images', async (dtype) => {
    const bytes = Uint8Array.from({ length: 3 * tinyElements }, (_, i) => (i * 89) % 256)
    const drawn = planOf([6, 2, 9])
    const plan = dtype === 'uint8' ? { ...drawn, images: bytes, dtype } : drawn
    const { images, examples, epochs, seed } = batchOf(held, plan)
    const costs = await loadBinding().pairingCosts(images, examples, epochs, seed)
    expect(costs).toHaveLength(9)
    const parts = { ...plan, rows: plan.rows.map((row) => ({ ...row, alpha: 1, sigma: 0, cIn: 1, targetNoise: 1 })) }
    const { x: clean, target: noise } = mixturesOf(parts)
    for (const i of [0, 1, 2]) {
      for (const j of [0, 1, 2]) {
        let wanted = 0
        for (let k = 0; k < tinyElements; k++)
          wanted += ((clean[i * tinyElements + k] ?? 0) - (noise[j * tinyElements + k] ?? 0)) ** 2
        expect(Math.abs((costs[3 * i + j] ?? 0) / wanted - 1)).toBeLessThan(1e-6)
      }
    }
  })
})
