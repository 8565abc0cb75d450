import { getEventListeners, setMaxListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import { call } from '../../lib/native/call.js'
import { loadBinding } from '../../lib/native/load.js'
import { createTensor, holdHandles } from './handles.js'
import { createTinyUnet, drawImages, readParameters, tinyElements, tinyImage } from './tiny-unet.js'
import { batchOf, createTraining, planOf, readState, update } from './training-batch.js'

const held = holdHandles()
const aborted = { code: 'DPM_ABORTED', name: 'AbortError' }

/** Waits without giving the event loop away for less than a millisecond, which setTimeout cannot. */
async function wait(milliseconds: number): Promise<void> {
  const start = performance.now()
  while (performance.now() - start < milliseconds) await new Promise(setImmediate)
}

test('an aborted signal starts no job', async () => {
  let started = false
  const job = call(AbortSignal.abort(new Error('why')), async () => {
    started = true
  })
  await expect(job).rejects.toMatchObject({ ...aborted, cause: new Error('why') })
  expect(started).toBe(false)
})

test('a job that is cancelled while it waits does not start', async () => {
  const binding = loadBinding()
  const network = await createTinyUnet(held)
  const training = await createTraining(held, network)
  const before = await readParameters(network)
  const controller = new AbortController()
  const batch = batchOf(held, planOf([1]))
  const first = binding.randomNormal(1, 0, 0, Float64Array.of(0), [1, 2 ** 20], 'cpu')
  const waiting = call(controller.signal, (native, cancellation) => native.trainingStep(training, batch, cancellation))
  controller.abort()
  await expect(waiting).rejects.toMatchObject(aborted)
  held(await first)
  expect(await readParameters(network)).toEqual(before)
})

test('what a batch that was given up between its parts has accumulated does not reach the next', async () => {
  const results = []
  for (const givenUp of [true, false]) {
    const network = await createTinyUnet(held)
    const training = await createTraining(held, network)
    const step = (changes: object) => loadBinding().trainingStep(training, batchOf(held, planOf([1, 2]), changes), null)
    if (givenUp) await step({ total: 4, update: null })
    results.push([await step({}), await readParameters(network), await readState(training)])
  }
  expect(results[0]).toEqual(results[1])
})

describe('inside a training step', () => {
  test('the state stays as it was, and the next step is as if nothing had been', async () => {
    const binding = loadBinding()
    const examples = Array.from({ length: 24 }, (_, n) => n)
    const plan = planOf(examples)
    const change = { update: { ...update, averagingDecays: [0.5] } }
    const create = async () => {
      const network = await createTinyUnet(held, { settings: { dropout: 0.1 } })
      return { network, training: await createTraining(held, network, { averages: 1 }) }
    }
    const untouched = await create()
    const start = performance.now()
    await binding.trainingStep(untouched.training, batchOf(held, plan, change), null)
    const duration = performance.now() - start

    const { network, training } = await create()
    const before = [await readParameters(network), await readState(training)]
    const batch = batchOf(held, plan, change)
    let cancelled = 0
    for (const share of [0.05, 0.1, 0.2, 0.3, 0.4, 0.5]) {
      const controller = new AbortController()
      const step = call(controller.signal, (native, cancellation) => native.trainingStep(training, batch, cancellation))
      const outcome = step.then(
        () => 'done',
        (error: unknown) => error,
      )
      await wait(share * duration)
      controller.abort()
      // On a busy machine the step may be over before its signal comes; then there is nothing to see.
      if ((await outcome) === 'done') break
      expect(await outcome).toMatchObject(aborted)
      expect([await readParameters(network), await readState(training)]).toEqual(before)
      cancelled += 1
    }
    expect(cancelled).toBeGreaterThan(0)
    if (cancelled < 6) return
    await binding.trainingStep(training, batch, null)
    expect(await readParameters(network)).toEqual(await readParameters(untouched.network))
    expect(await readState(training)).toEqual(await readState(untouched.training))
  })
})

test('a sampling run stops inside one network call', async () => {
  const binding = loadBinding()
  const network = await createTinyUnet(held)
  const count = 512
  const shape = [count, tinyImage.channels, tinyImage.height, tinyImage.width]
  const x = createTensor(held, new Float32Array(count * tinyElements).fill(0.5), shape)
  const options = {
    seed: 1,
    samples: Float64Array.from({ length: count }, (_, n) => n),
    chunk: 8,
    classes: null,
    image: null,
  }
  const program = Float64Array.of(1, 2, 1, 1, 0, 2, 1, 7, 1, 0, 0, 0, 1, 5, -1, 7, 3, 1, 1, 1)
  const start = async () => held(await binding.executionCreate([network], program, [x], options, 'float32'))
  const whole = performance.now()
  await binding.executionAdvance(await start(), Number.POSITIVE_INFINITY, null, null)
  const duration = performance.now() - whole

  const controller = new AbortController()
  const execution = await start()
  const emits: number[] = []
  const run = call(controller.signal, (native, cancellation) =>
    native.executionAdvance(execution, Number.POSITIVE_INFINITY, ({ step }) => emits.push(step), cancellation),
  )
  const outcome = run.then(
    () => 'done',
    (error: unknown) => error,
  )
  await wait(duration / 5)
  controller.abort()
  expect(await outcome).toMatchObject(aborted)
  expect(emits).toEqual([])
})

test('a network call without a run is cancelled, too', async () => {
  const binding = loadBinding()
  const network = await createTinyUnet(held)
  const x = createTensor(held, drawImages(1), [1, tinyImage.channels, tinyImage.height, tinyImage.width])
  const cancellation = held(binding.cancellationCreate())
  binding.cancel(cancellation)
  const forward = binding.networkForward(network, x, Float64Array.of(1), null, null, false, 'float32', cancellation)
  await expect(forward).rejects.toMatchObject({ code: 'DPM_ABORTED' })
})

test('1,000 calls leave nothing on a signal that lives on', async () => {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  for (let round = 0; round < 10; round++) {
    const jobs = Array.from({ length: 100 }, (_, n) =>
      call(controller.signal, (binding) => binding.randomNormal(1, 0, n, Float64Array.of(0), [1, 4], 'cpu')),
    )
    for (const job of jobs) loadBinding().dispose(await job)
  }
  expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  expect(loadBinding().memory().others).toBe(0)
})
