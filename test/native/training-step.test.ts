import { describe, expect, test } from 'vitest'
import { createSchedule, diffusionSchema } from '../../lib/diffusion/diffusion-options.js'
import { createObjective } from '../../lib/diffusion/objective.js'
import { type PredictionName, predictions, resolvePrediction } from '../../lib/diffusion/predictions/list.js'
import { createLabeller } from '../../lib/diffusion/time-label.js'
import { createTimes } from '../../lib/diffusion/times/list.js'
import { type Row, rowFields } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { holdHandles } from './handles.js'
import { createTinyUnet, drawImages, readParameters, runForward, tinyElements, tinyImage } from './tiny-unet.js'
import {
  batchOf,
  createTraining,
  joined,
  mixturesOf,
  planOf,
  readState,
  relativeDistance,
  update,
} from './training-batch.js'

const held = holdHandles()

const losses = {
  l2: (difference: number) => difference * difference,
  l1: (difference: number) => Math.abs(difference),
  huber: (difference: number) =>
    Math.abs(difference) < 1 ? 0.5 * difference * difference : Math.abs(difference) - 0.5,
} as const

function meanLoss(kind: keyof typeof losses, differences: Float64Array): number {
  return differences.reduce((sum, difference) => sum + losses[kind](difference), 0) / differences.length
}

/** Rows as a run has them: linear schedule, four times from nearly clean to nearly noise, four weights. */
function rowsOf(prediction: PredictionName): Row[] {
  const schedule = createSchedule(diffusionSchema.parse({ schedule: { kind: 'linear', steps: 1000 } }).schedule)
  const parts = {
    schedule,
    prediction: resolvePrediction(prediction, schedule),
    weighting: () => 1,
    label: createLabeller('step', schedule),
    times: createTimes({ kind: 'uniform' }, schedule),
  }
  const objective = createObjective(parts)
  return [0, 40, 500, 999].map((time, n) => ({ ...objective.row(time), weight: [1, 0.25, 3, 0][n] ?? 1 }))
}

const bytes = Uint8Array.from({ length: 4 * tinyElements }, (_, i) => (i * 89 + (i >> 3)) % 256)
const imageKinds = [
  ['float32', drawImages(4)],
  ['uint8', bytes],
] as const

describe.each(imageKinds)('the loss of %s images', (dtype, images) => {
  const plan = (prediction: PredictionName) => planOf([3, 1, 4, 100_000], { rows: rowsOf(prediction), images, dtype })

  test.each(Object.keys(predictions) as PredictionName[])(
    'of a network that answers 0 is that of the %s target',
    async (prediction) => {
      const wanted = plan(prediction)
      const { target } = mixturesOf(wanted)
      for (const loss of Object.keys(losses) as (keyof typeof losses)[]) {
        const network = await createTinyUnet(held, { settings: { zeroLayers: 'zero' } })
        const report = await loadBinding().trainingStep(
          await createTraining(held, network),
          batchOf(held, wanted, { loss }),
          null,
        )
        const each = wanted.rows.map((_, n) =>
          meanLoss(loss, target.subarray(n * tinyElements, (n + 1) * tinyElements)),
        )
        for (const [n, value] of each.entries())
          expect(Math.abs((report.losses[n] ?? 0) / value - 1)).toBeLessThan(1e-5)
        const total = wanted.rows.reduce((sum, { weight }, n) => sum + weight * (each[n] ?? 0), 0) / 4
        expect(Math.abs(report.loss / total - 1)).toBeLessThan(1e-5)
        expect(report.finite).toBe(true)
      }
    },
  )

  test('is that of the network on the mixed images, at the labels of the rows', async () => {
    const wanted = plan('velocity')
    for (const [n, row] of wanted.rows.entries()) Object.assign(row, { cIn: 1 - n / 8 })
    const { x, target } = mixturesOf(wanted)
    const network = await createTinyUnet(held)
    const labels = Float64Array.from(wanted.rows, ({ cNoise }) => cNoise)
    const shape = [4, tinyImage.channels, tinyImage.height, tinyImage.width]
    const output = await runForward(held, network, { values: x, shape }, labels)
    const report = await loadBinding().trainingStep(await createTraining(held, network), batchOf(held, wanted), null)
    wanted.rows.forEach((_, n) => {
      const at = (i: number) => n * tinyElements + i
      const differences = Float64Array.from(
        { length: tinyElements },
        (_, i) => (output[at(i)] ?? 0) - (target[at(i)] ?? 0),
      )
      expect(Math.abs((report.losses[n] ?? 0) / meanLoss('l2', differences) - 1)).toBeLessThan(1e-5)
    })
  })
})

/** What Adam and AdamW do with a gradient, in float64 (Kingma and Ba 2015; Loshchilov and Hutter 2019). */
function createReference(
  values: ArrayLike<number>,
  settings: Readonly<Record<'beta1' | 'beta2' | 'epsilon' | 'weightDecay' | 'clipNorm', number>>,
  decoupled: boolean,
) {
  const weights = Float64Array.from(values)
  const first = new Float64Array(weights.length)
  const second = new Float64Array(weights.length)
  const averages = [0.9, 0.5].map((decay) => ({ decay, values: weights.slice() }))
  return {
    weights,
    averages,
    step(gradients: ArrayLike<number>, learningRate: number, count: number): number {
      const norm = Math.sqrt(Array.from(gradients).reduce((sum, value) => sum + value * value, 0))
      const scale = settings.clipNorm > 0 ? Math.min(1, settings.clipNorm / (norm + 1e-6)) : 1
      for (let i = 0; i < weights.length; i++) {
        const weight = weights[i] ?? 0
        const gradient = (gradients[i] ?? 0) * scale + (decoupled ? 0 : settings.weightDecay * weight)
        const m = settings.beta1 * (first[i] ?? 0) + (1 - settings.beta1) * gradient
        const v = settings.beta2 * (second[i] ?? 0) + (1 - settings.beta2) * gradient * gradient
        first[i] = m
        second[i] = v
        const direction =
          m / (1 - settings.beta1 ** count) / (Math.sqrt(v / (1 - settings.beta2 ** count)) + settings.epsilon)
        weights[i] = weight * (decoupled ? 1 - learningRate * settings.weightDecay : 1) - learningRate * direction
      }
      for (const { decay, values } of averages) {
        values.forEach((value, i) => {
          values[i] = decay * value + (1 - decay) * (weights[i] ?? 0)
        })
      }
      return norm
    },
  }
}

describe.each(['adam', 'adamw'] as const)('%s', (optimizer) => {
  test.each([0, 0.05])(
    'with clip norm %d takes the steps of the float64 formula, and so do the averages',
    async (clipNorm) => {
      const binding = loadBinding()
      const settings = { beta1: 0.9, beta2: 0.99, epsilon: 1e-4, weightDecay: 0.1, clipNorm }
      const learningRate = 0.01
      const network = await createTinyUnet(held)
      const training = await createTraining(held, network, { ...settings, optimizer, averages: 2 })
      const reference = createReference(joined(await readParameters(network)), settings, optimizer === 'adamw')
      for (let step = 1; step <= 5; step++) {
        const plan = planOf([step, step + 1], { row: { weight: 0.5 + step / 4 } })
        const { norm, gradients } = await gradientsOf(plan)
        const change = { learningRate, step, averagingDecays: [0.9, 0.5] }
        const report = await binding.trainingStep(training, batchOf(held, plan, { update: change }), null)
        expect(Math.abs(report.gradientNorm / norm - 1)).toBeLessThan(1e-5)
        expect(reference.step(gradients, learningRate, step)).toBeCloseTo(norm, 12)
        if (clipNorm > 0) expect(norm).toBeGreaterThan(clipNorm)
      }
      const state = await readState(training)
      // Five steps of 0.01; float32 gradients follow to some 1e-5 of that.
      expectClose(joined(await readParameters(network)), reference.weights, 2e-5)
      for (const [k, { values }] of reference.averages.entries())
        expectClose(joined(state, `average.${k}.`), values, 2e-5)

      async function gradientsOf(plan: ReturnType<typeof planOf>): Promise<{ norm: number; gradients: number[] }> {
        const { x, target } = mixturesOf(plan)
        const shape = [plan.rows.length, tinyImage.channels, tinyImage.height, tinyImage.width]
        const labels = Float64Array.from(plan.rows, ({ cNoise }) => cNoise)
        const floats = (values: ArrayLike<number>) =>
          held(binding.tensorCreate(new Uint8Array(Float32Array.from(values).buffer), shape, 'float32'))
        const pass = held(await binding.networkForward(network, floats(x), labels, null, null, true, 'float32', null))
        const output = new Float32Array(await binding.tensorData(held(binding.passOutput(pass))))
        const slopes = output.map(
          (value, i) => (2 * (plan.rows[0]?.weight ?? 0) * (value - (target[i] ?? 0))) / output.length,
        )
        const { input, parameters } = await binding.passBackward(pass, floats(slopes))
        held(input)
        const gradients: number[] = []
        for (const parameter of parameters)
          gradients.push(...new Float32Array(await binding.tensorData(held(parameter))))
        return { norm: Math.sqrt(gradients.reduce((sum, value) => sum + value * value, 0)), gradients }
      }
    },
  )
})

function expectClose(actual: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void {
  expect(actual).toHaveLength(wanted.length)
  let largest = 0
  for (let i = 0; i < wanted.length; i++)
    largest = Math.max(largest, Math.abs((actual[i] ?? Number.NaN) - (wanted[i] ?? 0)))
  expect(largest).toBeLessThan(tolerance)
}

describe('gradient accumulation', () => {
  const examples = [5, 2, 9, 7]

  test.each([2, 4])('in %i parts is the whole batch', async (parts) => {
    const whole = await accumulate(1)
    const split = await accumulate(parts)
    expect(Math.abs(split.loss / whole.loss - 1)).toBeLessThan(1e-6)
    expect(relativeDistance(split.moments, whole.moments)).toBeLessThan(1e-6)
  })

  test('gives NaN for the norm of a part that does not update, and leaves the weights', async () => {
    const network = await createTinyUnet(held)
    const before = await readParameters(network)
    const training = await createTraining(held, network)
    const report = await loadBinding().trainingStep(training, batchOf(held, planOf([1]), { update: null }), null)
    expect(report.gradientNorm).toBeNaN()
    expect(report.finite).toBe(true)
    expect(await readParameters(network)).toEqual(before)
  })

  async function accumulate(parts: number): Promise<{ loss: number; moments: number[] }> {
    const training = await createTraining(held, await createTinyUnet(held))
    const length = examples.length / parts
    let loss = 0
    for (let part = 0; part < parts; part++) {
      const plan = planOf(examples.slice(part * length, (part + 1) * length))
      const last = part === parts - 1
      const batch = batchOf(held, plan, { total: examples.length, first: part === 0, update: last ? update : null })
      loss += (await loadBinding().trainingStep(training, batch, null)).loss
    }
    return { loss, moments: joined(await readState(training), 'optimizer.first.') }
  }
})

test('the same step from the same state gives the same bits', async () => {
  const runs = [0, 1].map(async () => {
    const network = await createTinyUnet(held, { settings: { dropout: 0.2 } })
    const training = await createTraining(held, network, { averages: 1, clipNorm: 1 })
    const reports = []
    for (let step = 1; step <= 3; step++) {
      const change = { learningRate: 0.01, step, averagingDecays: [0.9] }
      reports.push(
        await loadBinding().trainingStep(training, batchOf(held, planOf([1, 2, 3]), { update: change }), null),
      )
    }
    return { reports, parameters: await readParameters(network), state: await readState(training) }
  })
  const [first, second] = await Promise.all(runs)
  expect(first).toEqual(second)
})

describe('a batch that is not finite', () => {
  const averagingDecays = [0.5]
  const spoiled = planOf([0, 1])
  Object.assign(spoiled.images, { [tinyElements + 7]: Number.NaN })

  test('changes nothing and says so; the next step is as if it had not been', async () => {
    const results = []
    for (const bad of [true, false]) {
      const network = await createTinyUnet(held)
      const training = await createTraining(held, network, { averages: 1 })
      const change = { update: { ...update, averagingDecays } }
      if (bad) {
        const before = [await readParameters(network), await readState(training)]
        const report = await loadBinding().trainingStep(training, batchOf(held, spoiled, change), null)
        expect(report).toMatchObject({ finite: false, loss: Number.NaN, gradientNorm: Number.NaN })
        expect(report.losses[0]).toBeGreaterThan(0)
        expect(report.losses[1]).toBeNaN()
        expect([await readParameters(network), await readState(training)]).toEqual(before)
      }
      const report = await loadBinding().trainingStep(training, batchOf(held, planOf([4, 5]), change), null)
      results.push([report, await readParameters(network), await readState(training)])
    }
    expect(results[0]).toEqual(results[1])
  })

  test('is not updated by its finite parts either, whichever part it was', async () => {
    const network = await createTinyUnet(held)
    const training = await createTraining(held, network)
    const before = await readParameters(network)
    const part = (plan: ReturnType<typeof planOf>, first: boolean) => {
      const changes = { total: 4, first, update: first ? null : update }
      return loadBinding().trainingStep(training, batchOf(held, plan, changes), null)
    }
    expect((await part(spoiled, true)).finite).toBe(false)
    expect((await part(planOf([2, 3]), false)).finite).toBe(false)
    expect(await readParameters(network)).toEqual(before)
    expect((await part(planOf([2, 3]), true)).finite).toBe(true)
    expect((await part(planOf([4, 5]), false)).finite).toBe(true)
    expect(await readParameters(network)).not.toEqual(before)
  })
})

describe('refusals leave the gradient as it was', () => {
  test.each([
    ['a wrong number of decays', { update: { ...update, averagingDecays: [0.5] } }, 'Expected 0 averaging decays'],
    ['a wrong number of rows', { rows: new Float64Array(rowFields.length) }, 'one row, example and epoch per image'],
    ['classes for a network without', { classes: Int32Array.of(0, 0) }, 'not class-conditional'],
    ['an unknown loss', { loss: 'l3' as 'l2' }, 'Expected one of l2, l1, huber, pseudo-huber, sliced, cross-entropy'],
  ])('%s', async (_, change, message) => {
    const results = []
    for (const bad of [true, false]) {
      const network = await createTinyUnet(held)
      const training = await createTraining(held, network)
      const step = async (changes: object) =>
        loadBinding().trainingStep(training, batchOf(held, planOf([1, 2]), changes), null)
      if (bad) await expect(step(change)).rejects.toThrow(message)
      await step({})
      results.push(await readParameters(network))
    }
    expect(results[0]).toEqual(results[1])
  })
})

test('a pass recorded before an update refuses to go backward through the weights that are gone', async () => {
  const binding = loadBinding()
  const network = await createTinyUnet(held)
  const training = await createTraining(held, network)
  const shape = [1, tinyImage.channels, tinyImage.height, tinyImage.width]
  const x = held(binding.tensorCreate(new Uint8Array(drawImages(1).buffer), shape, 'float32'))
  const pass = held(await binding.networkForward(network, x, Float64Array.of(1), null, null, true, 'float32', null))
  await binding.trainingStep(training, batchOf(held, planOf([1])), null)
  await expect(binding.passBackward(pass, x)).rejects.toThrow('modified by an inplace operation')
})

describe('class indices', () => {
  test.each([-1, 4, 2 ** 31 - 1])('%i is refused with its place and the range', async (index) => {
    const network = await createTinyUnet(held, { classes: 3 })
    const training = await createTraining(held, network)
    const batch = batchOf(held, planOf([1, 2]), { classes: Int32Array.of(3, index) })
    await expect(loadBinding().trainingStep(training, batch, null)).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: `Expected a whole number from 0 to 3 for \`classes[1]\` but received ${index}. 3 is the null class.`,
    })
  })
  test('without classes every image has the null class', async () => {
    const reports = []
    for (const classes of [null, Int32Array.of(3, 3)]) {
      const training = await createTraining(held, await createTinyUnet(held, { classes: 3 }))
      reports.push(await loadBinding().trainingStep(training, batchOf(held, planOf([1, 2]), { classes }), null))
    }
    expect(reports[0]).toEqual(reports[1])
  })
})
