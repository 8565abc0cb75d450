/** The term of the variational bound in a training step, against its formula in float64. */
import { describe, expect, test } from 'vitest'
import type { NativeBatch, Row } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { holdHandles } from './handles.js'
import { passGradient, stepGradient } from './network-gradient.js'
import { createTinyUnet, tinyElements } from './tiny-unet.js'
import { type BatchPlan, batchOf, createTraining, planOf, relativeDistance } from './training-batch.js'

const held = holdHandles()

/** Ho et al. 2020 eq. 5 with Nichol and Dhariwal 2021 eq. 15: one element, in nats. */
function boundOf(row: Row, difference: number, clean: number, v: number | undefined): number {
  const logvar = row.boundLow + (v === undefined ? 0 : ((row.boundHigh - row.boundLow) * (v + 1)) / 2)
  const off = row.boundScale * difference
  if (row.boundDecoder === 0) {
    const ratio = Math.exp(row.boundVariance - logvar)
    return 0.5 * (-1 + logvar - row.boundVariance + ratio + off * off * Math.exp(-logvar))
  }
  const cdf = (z: number) => 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)))
  const inverse = Math.exp(-0.5 * logvar)
  const [above, below] = [cdf(inverse * (1 / 255 - off)), cdf(inverse * (-1 / 255 - off))]
  return -Math.log(Math.max(1e-12, clean < -0.999 ? above : clean > 0.999 ? 1 - below : above - below))
}

const posterior = { boundScale: 0.3, boundVariance: -3.1, boundLow: -3.5, boundHigh: -2.2, boundWeight: 0.7 } as const
const decoder = {
  ...posterior,
  boundScale: 0.2,
  boundLow: -2,
  boundHigh: -1,
  boundWeight: 1.6,
  boundDecoder: 1,
} as const

/** Four examples: two posterior terms, none, the decoder. Images are multiples of 0.4, so that some lie at the edges. */
function planWithBounds(weight = 1): BatchPlan {
  const plan = planOf([3, 1, 4, 2])
  const changes = [posterior, { ...posterior, boundScale: 1.5, boundWeight: 2 }, {}, decoder]
  const images = plan.images
  const clean = Float32Array.from(images, (value) => Math.max(-1, Math.min(1, Math.round(2.5 * value) / 2.5)))
  return { ...plan, images: clean, rows: plan.rows.map((row, n) => ({ ...row, weight, ...changes[n] })) }
}

/** Of N examples with an output of one or two halves: F, v and the target of element i of example n. */
function elementOf(output: ArrayLike<number>, target: ArrayLike<number>, halves: number, n: number, i: number) {
  const at = n * halves * tinyElements + i
  const v = halves === 2 ? (output[at + tinyElements] ?? 0) : undefined
  return { at, difference: (output[at] ?? 0) - (target[n * tinyElements + i] ?? 0), v }
}

describe.each([1, 2] as const)('with %i outputs per channel', (outputs) => {
  test('the terms and the loss are those of the formula', async () => {
    const plan = planWithBounds()
    const network = await createTinyUnet(held, { outputs })
    const { report } = await stepGradient(held, network, batchOf(held, plan))
    let target = new Float64Array()
    const { output } = await passGradient(held, network, plan, (values, wanted) => {
      target = wanted.slice()
      return values
    })
    let loss = 0
    plan.rows.forEach((row, n) => {
      let [bound, square] = [0, 0]
      for (let i = 0; i < tinyElements; i++) {
        const { difference, v } = elementOf(output, target, outputs, n, i)
        bound += boundOf(row, difference, plan.images[n * tinyElements + i] ?? 0, v) / tinyElements
        square += difference ** 2 / tinyElements
      }
      expect(Math.abs((report.losses[n] ?? 0) / square - 1)).toBeLessThan(1e-5)
      if (row.boundWeight === 0) expect(report.bounds[n]).toBeNaN()
      else expect(Math.abs((report.bounds[n] ?? 0) / bound - 1), `bound ${n}`).toBeLessThan(1e-5)
      loss += (row.weight * square + (row.boundWeight === 0 ? 0 : row.boundWeight * bound)) / 4
    })
    expect(Math.abs(report.loss / loss - 1)).toBeLessThan(1e-5)
  })

  test.each([false, true])('the gradient is that of the formula (detachMean %s)', async (detachMean) => {
    const plan = planWithBounds(detachMean ? 0.5 : 0)
    const network = await createTinyUnet(held, { outputs })
    const { gradient } = await stepGradient(held, network, batchOf(held, plan, { detachMean }))
    const wanted = await passGradient(held, network, plan, (output, target) => {
      const slopes = new Float64Array(output.length)
      plan.rows.forEach((row, n) => {
        for (let i = 0; i < tinyElements; i++) {
          const { at, difference, v } = elementOf(output, target, outputs, n, i)
          const clean = plan.images[n * tinyElements + i] ?? 0
          const [factor, h] = [row.boundWeight / (4 * tinyElements), 1e-5]
          const along = (f: (step: number) => number) => (factor * (f(h) - f(-h))) / (2 * h)
          slopes[at] = (2 * row.weight * difference) / (4 * tinyElements)
          if (row.boundWeight === 0) continue
          if (!detachMean) slopes[at] += along((step) => boundOf(row, difference + step, clean, v))
          if (v !== undefined) slopes[at + tinyElements] = along((step) => boundOf(row, difference, clean, v + step))
        }
      })
      return slopes
    })
    expect(relativeDistance(gradient, wanted.gradient)).toBeLessThan(1e-4)
  })
})

test('detachMean leaves a network without a learned variance untaught', async () => {
  const network = await createTinyUnet(held)
  const batch = batchOf(held, planWithBounds(0), { detachMean: true })
  const { report, gradient } = await stepGradient(held, network, batch)
  expect(report.loss).toBeGreaterThan(0)
  expect(gradient.every((value) => value === 0)).toBe(true)
})

test('rows without a bound give the bits of a step that knows of none', async () => {
  const results = []
  for (const columns of [{}, { ...decoder, boundWeight: 0 }]) {
    const network = await createTinyUnet(held, { outputs: 2 })
    results.push(await stepGradient(held, network, batchOf(held, planOf([1, 2], { row: columns }))))
  }
  expect(results[0]?.report.bounds).toEqual(Float64Array.of(Number.NaN, Number.NaN))
  expect(results[0]?.report).toEqual(results[1]?.report)
  expect(relativeDistance(results[0]?.gradient ?? [], results[1]?.gradient ?? [])).toBe(0)
})

test('in parts it adds up to the whole', async () => {
  const plan = planWithBounds()
  const training = await createTraining(held, await createTinyUnet(held, { outputs: 2 }))
  const step = (changes: Partial<NativeBatch>, part = plan) =>
    loadBinding().trainingStep(training, batchOf(held, part, { total: 4, update: null, ...changes }), null)
  const whole = await step({})
  let loss = 0
  for (const begin of [0, 2]) {
    const part = {
      ...plan,
      rows: plan.rows.slice(begin, begin + 2),
      examples: plan.examples.slice(begin, begin + 2),
      epochs: plan.epochs.slice(begin, begin + 2),
      images: Array.from(plan.images).slice(begin * tinyElements, (begin + 2) * tinyElements),
    }
    loss += (await step({ first: begin === 0 }, part)).loss
  }
  expect(Math.abs(loss / whole.loss - 1)).toBeLessThan(1e-6)
})

describe('of a network that answers 0', () => {
  const answersZero = { settings: { zeroLayers: 'zero' } } as const

  test('the divergence from the true posterior itself is 0', async () => {
    const row = { ...posterior, boundLow: posterior.boundVariance, targetNoise: 0 }
    const network = await createTinyUnet(held, answersZero)
    const { report } = await stepGradient(held, network, batchOf(held, planOf([1, 2], { row })))
    for (const bound of report.bounds) expect(Math.abs(bound)).toBeLessThan(1e-15)
  })

  // Mean 0 whatever the image: x_0 + 1 (0 - x_0).
  test.each([0, -3, -8])('the probabilities of the 256 values sum to 1 at log variance %d', async (boundLow) => {
    const row = { boundLow, boundScale: 1, boundWeight: 1, boundDecoder: 1, targetNoise: 0, targetClean: 1 }
    const examples = Array.from({ length: 256 }, (_, value) => value)
    const size = 4 * 4
    const rows = planOf([0], { row }).rows
    const plan: BatchPlan = {
      rows: examples.map(() => rows[0] as Row),
      examples,
      epochs: examples.map(() => 0),
      images: Uint8Array.from({ length: 256 * size }, (_, i) => Math.floor(i / size)),
      dtype: 'uint8',
      seed: 1,
    }
    const image = { channels: 1, height: 4, width: 4 }
    const network = await createTinyUnet(held, { ...answersZero, image })
    const training = await createTraining(held, network)
    const batch = batchOf(held, plan, {}, image)
    const { bounds } = await loadBinding().trainingStep(training, batch, null)
    expect(bounds.reduce((sum, bound) => sum + Math.exp(-bound), 0)).toBeCloseTo(1, 6)
    // A normal of standard deviation 1 spreads far beyond the range, so its outermost values take the tails.
    if (boundLow === 0) expect(Math.exp(-(bounds[0] ?? 0))).toBeCloseTo(0.16, 2)
  })
})
