import { describe, expect, test } from 'vitest'
import { operationFlops } from '../../lib/benchmark/operation-flops.js'
import type { NativeOperation, NativePhase, NativeProfile, ProfileHandle } from '../../lib/native/binding.js'
import { call } from '../../lib/native/call.js'
import { loadBinding } from '../../lib/native/load.js'
import { mlp } from '../../lib/networks/mlp.js'
import { createTensor, holdHandles } from './handles.js'
import { createTinyUnet, drawImages, readParameters, tinyElements } from './tiny-unet.js'
import { batchOf, createTraining, planOf, readState, update } from './training-batch.js'

const held = holdHandles()
const batch = 4
const examples = Array.from({ length: batch }, (_, n) => n)
const averaged = { update: { ...update, averagingDecays: [0.5] } }

async function tinyTraining() {
  const network = await createTinyUnet(held, { settings: { dropout: 0.1 } })
  return { network, training: await createTraining(held, network, { averages: 1, clipNorm: 1 }) }
}

const createProfile = (): ProfileHandle => held(loadBinding().profileCreate())
const read = (profile: ProfileHandle): Promise<NativeProfile> => loadBinding().profileRead(profile)

/** Calls of every operation in its phase. */
function callsOf({ operations }: NativeProfile): Map<string, number> {
  const calls = new Map<string, number>()
  for (const { phase, name, calls: more } of operations) {
    calls.set(`${phase} ${name}`, (calls.get(`${phase} ${name}`) ?? 0) + more)
  }
  return calls
}

const sumOf = (operations: readonly NativeOperation[], field: 'seconds' | 'bytesRead' | 'bytesWritten'): number =>
  operations.reduce((sum, one) => sum + one[field], 0)

describe('the profile of a training step', () => {
  test('names its operations and ours, in their phases, as often as they are called', async () => {
    const { training } = await tinyTraining()
    const profile = createProfile()
    await loadBinding().trainingStep(training, batchOf(held, planOf(examples), averaged), null, profile)
    const once = callsOf(await read(profile))
    expect(Object.fromEntries(once)).toMatchObject({
      'forward dpm::noise_step': 1,
      'forward dpm::loss': 1,
      'update dpm::squared_norm': 1,
      'update dpm::optimizer': 1,
    })
    // The tiny network has more convolutions than one, and dropouts as many on the way back.
    expect(once.get('forward aten::mkldnn_convolution')).toBeGreaterThan(5)
    expect(once.get('backward aten::convolution_backward')).toBe(once.get('forward aten::mkldnn_convolution'))
    expect(once.get('backward dpm::dropout')).toBe(once.get('forward dpm::dropout'))
    expect(once.get('backward dpm::group_norm_silu_backward')).toBe(once.get('forward dpm::group_norm_silu'))
    expect(once.get('backward dpm::attention_backward')).toBe(once.get('forward dpm::attention'))

    await loadBinding().trainingStep(training, batchOf(held, planOf(examples), averaged), null, profile)
    const twice = callsOf(await read(profile))
    expect([...twice.keys()].sort()).toEqual([...once.keys()].sort())
    for (const [key, calls] of once) expect(twice.get(key), key).toBe(2 * calls)
  })

  test('own times are parts of the whole: none counts twice', async () => {
    const { training } = await tinyTraining()
    const profile = createProfile()
    for (let i = 0; i < 3; i++) {
      await loadBinding().trainingStep(training, batchOf(held, planOf(examples), averaged), null, profile)
    }
    const { operations, runs, seconds, overhead } = await read(profile)
    expect(runs).toBe(3)
    const own = sumOf(operations, 'seconds')
    expect(own + overhead).toBeLessThanOrEqual(seconds)
    expect(own).toBeGreaterThan(0.3 * (seconds - overhead))
    for (const { name, seconds: own, calls } of operations) {
      expect(own, name).toBeGreaterThanOrEqual(0)
      expect(calls, name).toBeGreaterThan(0)
    }
  })

  test('has the shapes and bytes of what an operation reads and writes', async () => {
    const { network, training } = await tinyTraining()
    const profile = createProfile()
    await loadBinding().trainingStep(training, batchOf(held, planOf(examples), averaged), null, profile)
    const { operations, peakBytes } = await read(profile)
    const named = (name: string): NativeOperation[] => operations.filter((one) => one.name === name)
    const [noise] = named('dpm::noise_step')
    const image = { shape: [batch, 3, 8, 8], type: 'float32' }
    expect(noise).toMatchObject({ inputs: [image], outputs: [image, image], bytesRead: 4 * batch * tinyElements })
    expect(noise?.bytesWritten).toBe(2 * 4 * batch * tinyElements)
    // Weights, gradients, two moments and an average.
    const trained = loadBinding()
      .networkParameters(network)
      .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
    const [optimizer] = named('dpm::optimizer')
    expect(optimizer?.bytesRead).toBeGreaterThanOrEqual(5 * 4 * trained)
    expect(optimizer?.bytesRead).toBeLessThan(5 * 4 * (trained + 16 * loadBinding().networkParameters(network).length))
    // Views and what only calls others move nothing of their own.
    for (const name of ['aten::view', 'aten::permute', 'aten::conv2d', 'aten::convolution', 'aten::t', 'aten::empty']) {
      expect(sumOf(named(name), 'bytesRead') + sumOf(named(name), 'bytesWritten'), name).toBe(0)
    }
    expect(peakBytes).toBeGreaterThan(4 * batch * tinyElements)
  })

  test('changes no number', async () => {
    const results = []
    for (const profiled of [true, false]) {
      const { network, training } = await tinyTraining()
      const profile = profiled ? createProfile() : null
      const report = await loadBinding().trainingStep(
        training,
        batchOf(held, planOf(examples), averaged),
        null,
        profile,
      )
      results.push([report, await readParameters(network), await readState(training)])
    }
    expect(results[0]).toEqual(results[1])
  })
})

describe('recording is off', () => {
  test('in every job that is not given the profile', async () => {
    const { training } = await tinyTraining()
    const profile = createProfile()
    const step = (given: ProfileHandle | null) =>
      loadBinding().trainingStep(training, batchOf(held, planOf(examples), averaged), null, given)
    await step(profile)
    const before = await read(profile)
    await Promise.all([step(null), step(null)])
    expect(await read(profile)).toEqual(before)
  })

  test('again after a job that failed, and after one that was cancelled', async () => {
    const { network, training } = await tinyTraining()
    const profile = createProfile()
    const binding = loadBinding()
    const good = () => batchOf(held, planOf(examples), averaged)
    const wrong = { ...good(), examples: Float64Array.of(1) }
    await expect(binding.trainingStep(training, wrong, null, profile)).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
    })
    const controller = new AbortController()
    const many = planOf(Array.from({ length: 64 }, (_, n) => n))
    const cancelled = call(controller.signal, (native, cancellation) =>
      native.trainingStep(training, batchOf(held, many, averaged), cancellation, profile),
    )
    setImmediate(() => controller.abort())
    await cancelled.catch((error: unknown) => expect(error).toMatchObject({ code: 'DPM_ABORTED' }))
    const before = await read(profile)
    const x = createTensor(held, drawImages(batch), [batch, 3, 8, 8])
    held(await binding.networkForward(network, x, new Float64Array(batch), null, null, true, 'float32', null, null))
    await binding.trainingStep(training, good(), null, null)
    expect(await read(profile)).toEqual(before)
    // And it can be used again.
    await binding.trainingStep(training, good(), null, profile)
    expect((await read(profile)).runs).toBe(before.runs + 1)
  })
})

test('operations of a perceptron are its weights times its examples: once forward, twice on the way back but for the first', async () => {
  const image = { channels: 2, height: 1, width: 1 }
  const settings = mlp.native(mlp.options.parse({ kind: 'mlp' }), image, 0)
  const network = held(await loadBinding().networkCreate('mlp', settings, 1, 'cpu'))
  const training = await createTraining(held, network)
  const profile = createProfile()
  const points = { rows: planOf(examples).rows, examples, epochs: examples, seed: 1, dtype: 'float32' } as const
  const plan = { ...points, images: Float32Array.from({ length: 2 * batch }, (_, i) => Math.sin(i)) }
  await loadBinding().trainingStep(training, batchOf(held, plan, {}, image), null, profile)
  const { operations } = await read(profile)
  const flops = (phase: NativePhase): number =>
    operations.filter((one) => one.phase === phase).reduce((sum, one) => sum + operationFlops(one), 0)
  const products = (name: string): number => {
    const { shape: [out = 0, from = 0] = [] } =
      loadBinding()
        .networkParameters(network)
        .find((one) => one.name === name) ?? {}
    return 2 * batch * out * from
  }
  const matrices = loadBinding()
    .networkParameters(network)
    .filter(({ shape }) => shape.length === 2)
  const all = matrices.reduce((sum, { name }) => sum + products(name), 0)
  expect(flops('forward')).toBe(all)
  expect(flops('update')).toBe(0)
  // Neither x nor the time's sinusoids have a gradient.
  expect(flops('backward')).toBe(2 * all - products('input.weight') - products('time.in.weight'))
})
