import { describe, expect, test } from 'vitest'
import type { NetworkHandle, TensorHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { runChild } from './child.js'
import { createTensor, expectNoHandles, holdHandles } from './handles.js'
import { createTinyUnet, drawImages, runForward, tinyImage } from './tiny-unet.js'

const held = holdHandles()
const shape = [2, tinyImage.channels, tinyImage.height, tinyImage.width]
const labels = Float64Array.of(3, 700)

describe('dispose', () => {
  test('in the middle of a job leaves the job its tensors: the result is right', async () => {
    const binding = loadBinding()
    const network = await createTinyUnet(held)
    const values = drawImages(2)
    const wanted = await runForward(held, network, { values, shape }, labels)

    const before = binding.memory()
    const x = createTensor(held, values, shape)
    const running = binding.networkForward(network, x, labels, null, null, false, 'float32', null)
    const waiting = binding.tensorData(x)
    binding.dispose(network)
    binding.dispose(x)
    expect(binding.memory()).toEqual({ ...before, networks: 0, jobs: 2 })
    const output = held(binding.passOutput(held(await running)))
    expect(new Float32Array(await binding.tensorData(output))).toEqual(wanted)
    expect(new Float32Array(await waiting)).toEqual(values)
  })

  test('twice is harmless and counts once', () => {
    const tensor = loadBinding().tensorCreate(new Uint8Array(4), [1], 'float32')
    loadBinding().dispose(tensor)
    loadBinding().dispose(tensor)
    expectNoHandles(loadBinding())
  })

  test('ends a handle: whatever uses it afterwards throws DPM_DISPOSED', async () => {
    const binding = loadBinding()
    const network = await createTinyUnet(held)
    const tensor = createTensor(held, [1], [1])
    const cancellation = binding.cancellationCreate()
    for (const handle of [network, tensor, cancellation]) binding.dispose(handle)
    expectNoHandles(binding)
    const uses = [
      () => binding.tensorInfo(tensor),
      () => binding.tensorData(tensor),
      () => binding.networkParameters(network),
      () => binding.networkRead(network, 'input.weight'),
      () => binding.cancel(cancellation),
    ]
    for (const use of uses) expect(use).toThrow(expect.objectContaining({ code: 'DPM_DISPOSED' }))
    expect(uses[0]).toThrow('The tensor was used after dispose().')
  })

  test('of a network does not end the training and the averaged copy that share its weights', async () => {
    const binding = loadBinding()
    const network = await createTinyUnet(held)
    const settings = {
      optimizer: 'adam',
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
      clipNorm: 0,
      averages: 1,
      precision: 'float32',
      activationCheckpointing: false,
    }
    const training = held(await binding.trainingCreate(network, settings))
    const averaged = held(binding.trainingAveraged(training, 0))
    const values = drawImages(2)
    const wanted = await runForward(held, network, { values, shape }, labels)
    binding.dispose(network)
    binding.dispose(training)
    expect(await runForward(held, averaged, { values, shape }, labels)).toEqual(wanted)
  })
})

test('an object that is no handle, or another kind of handle, is refused and named', async () => {
  const binding = loadBinding()
  const network = await createTinyUnet(held)
  const tensor = createTensor(held, [1], [1])
  const strangers: unknown[] = [
    {},
    Buffer.alloc(8),
    [],
    null,
    undefined,
    1,
    'tensor',
    () => 0,
    Object.create(tensor),
    new Proxy(tensor as object, {}),
  ]
  for (const stranger of strangers) {
    const use = () => binding.tensorInfo(stranger as TensorHandle)
    expect(use).toThrow(expect.objectContaining({ code: 'DPM_INVALID_ARGUMENT' }))
    expect(use).toThrow('Expected a tensor of dpm-torch but received something else.')
    expect(() => binding.dispose(stranger as TensorHandle)).toThrow('Expected a handle of dpm-torch')
  }
  expect(() => binding.tensorInfo(network as unknown as TensorHandle)).toThrow(
    'Expected a tensor but received a network.',
  )
  expect(() => binding.networkParameters(tensor as unknown as NetworkHandle)).toThrow(
    'Expected a network but received a tensor.',
  )
})

test('V8 is told of the bytes that tensors hold: it collects handles when those are many, however small they are to it', async () => {
  // Each handle is some hundred bytes of JavaScript and 8 MiB of native memory; nobody asks for a collection.
  const { stdout, stderr } = await runChild(`
    const source = binding.tensorCreate(new Uint8Array(2 ** 20), [2 ** 20], 'uint8')
    let largest = 0
    for (let i = 0; i < 150; i++) {
      await binding.tensorConvert(source, 'float64', 'cpu')
      await sleep(0)
      largest = Math.max(largest, binding.memory().bytes)
    }
    console.log(largest)`)
  expect(stderr).toBe('')
  expect(Number(stdout)).toBeGreaterThanOrEqual(2 ** 23)
  expect(Number(stdout)).toBeLessThan(60 * 2 ** 23)
})

test('handles that nobody disposed of are freed by the garbage collector', async () => {
  const { stdout, stderr } = await runChild(
    `await (async () => {
      const network = await createNetwork()
      const inputs = Array.from({ length: 20 }, createInput)
      const pass = await binding.networkForward(network, inputs[0], new Float64Array(4), null, null, true, 'float32', null)
      const execution = await createExecution(2)
      binding.cancellationCreate()
      console.log(JSON.stringify(binding.memory()))
    })()
    for (let round = 0; round < 10; round++) { globalThis.gc(); await sleep(5) }
    console.log(JSON.stringify(binding.memory()))`,
    { flags: ['--expose-gc'] },
  )
  expect(stderr).toBe('')
  const [before, after] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  const inputBytes = 4 * 4 * 3 * 16 * 16
  expect(before).toEqual({ tensors: 21, networks: 2, others: 3, bytes: 21 * inputBytes, jobs: 0 })
  expect(after).toEqual({ tensors: 0, networks: 0, others: 0, bytes: 0, jobs: 0 })
})
