/** Derivatives of a step's loss by the numbers of its rows, against finite differences of the reported loss. */
import { describe, expect, test } from 'vitest'
import { type NativeBatch, type Row, rowFields } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { holdHandles } from './handles.js'
import { stepGradient } from './network-gradient.js'
import { createTinyUnet, type TinyUnetOptions } from './tiny-unet.js'
import { type BatchPlan, batchOf, createTraining, planOf, relativeDistance } from './training-batch.js'

const held = holdHandles()
const width = rowFields.length
/** Numbers that the loss depends on smoothly. */
const smooth = rowFields.filter((field) => field !== 'boundDecoder')

const mixed: Partial<Row> = {
  alpha: 0.7,
  sigma: 0.8,
  cIn: 0.9,
  cNoise: 3.5,
  targetClean: 0.3,
  targetNoise: 0.6,
  weight: 0.8,
}
const bound = { boundScale: 0.6, boundVariance: -1, boundLow: -1.2, boundHigh: -0.4, boundWeight: 0.5 } as const

function planWith(rows: readonly Partial<Row>[]): BatchPlan {
  const plan = planOf(rows.map((_, n) => n + 1))
  return { ...plan, rows: plan.rows.map((row, n) => ({ ...row, ...mixed, cNoise: 3.5 + 2 * n, ...rows[n] })) }
}

describe.each([
  ['the square', {}, {}, [{}, { weight: 2, cIn: 1.2 }]],
  [
    'pseudo-Huber, with the labels embedded as improved DDPM does',
    {},
    { timeEmbedding: 'improved' },
    [{}, { alpha: 0.2 }],
  ],
  ['Fourier features of the input', {}, { fourierFeatures: [0] as number[] }, [{}, { sigma: 0.3 }]],
  ['a bound', { outputs: 2 }, {}, [bound, {}, { ...bound, boundDecoder: 1, boundLow: -3, boundHigh: -2 }]],
  ['a bound with a fixed variance', {}, {}, [bound, { ...bound, boundDecoder: 1, boundLow: -2 }]],
] as const)('with %s', (name, options, settings, rows) => {
  const changes: Partial<NativeBatch> = name.startsWith('pseudo') ? { loss: 'pseudo-huber', lossScale: 0.5 } : {}

  test('each is the slope of the loss', async () => {
    const plan = planWith(rows)
    const network = await createTinyUnet(held, { ...(options as TinyUnetOptions), settings })
    const training = await createTraining(held, network)
    const lossOf = async (moved: BatchPlan) =>
      (await loadBinding().trainingStep(training, batchOf(held, moved, { ...changes, update: null }), null)).loss
    const { rowGradients } = await loadBinding().trainingStep(
      training,
      batchOf(held, plan, { ...changes, update: null, rowGradients: true }),
      null,
    )
    expect(rowGradients).toHaveLength(rows.length * width)
    for (const [n, row] of plan.rows.entries()) {
      for (const field of smooth) {
        const actual = rowGradients?.[n * width + rowFields.indexOf(field)] ?? Number.NaN
        if (row.boundWeight === 0 && field.startsWith('bound')) {
          expect(actual).toBe(0)
          continue
        }
        const h = 4e-3
        const at = (step: number) => ({ ...plan, rows: plan.rows.with(n, { ...row, [field]: row[field] + step }) })
        const across = async (step: number) => (await lossOf(at(step))) - (await lossOf(at(-step)))
        const wanted = (8 * (await across(h)) - (await across(2 * h))) / (12 * h)
        expect(Math.abs(actual - wanted), `${field} of row ${n}: ${wanted}`).toBeLessThan(
          2e-3 * Math.abs(wanted) + 2e-4,
        )
      }
      expect(rowGradients?.[n * width + rowFields.indexOf('boundDecoder')]).toBe(0)
    }
  })

  test('asking for them changes nothing else', async () => {
    const network = await createTinyUnet(held, { ...(options as TinyUnetOptions), settings })
    const results = []
    for (const rowGradients of [false, true]) {
      const batch = batchOf(held, planWith(rows), { ...changes, rowGradients })
      const { report, gradient } = await stepGradient(held, network, batch)
      results.push({ gradient, report: { ...report, rowGradients: null } })
    }
    expect(results[0]?.report).toEqual(results[1]?.report)
    expect(relativeDistance(results[0]?.gradient ?? [], results[1]?.gradient ?? [])).toBe(0)
  })
})
