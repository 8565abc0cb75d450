import { expect, test } from 'vitest'
import { runChild } from './child.js'

/**
 * Arguments that run JavaScript while they are read, and change what the call was given. In a process of its own: a pointer
 * held meanwhile reads memory that is gone.
 */
test('a getter in a list may shrink, detach or grow what the call was given: the answer is right or a typed error', async () => {
  const end = await runChild(`
    const size = 2 ** 24
    const shrink = (buffer) => buffer.resize(0)
    const detach = (buffer) => structuredClone(buffer, { transfer: [buffer] })
    const grow = (buffer) => buffer.resize(2 * size)
    const listThat = (values, place, act) => Object.defineProperty([...values], place, { get() { act(); return values[place] } })
    const ends = []
    const attempt = async (work) => {
      try {
        ends.push(binding.tensorInfo(await work()).shape.join('×'))
      } catch (error) {
        ends.push(error.code)
      }
    }
    for (const change of [shrink, detach, grow]) {
      const buffer = new ArrayBuffer(size, { maxByteLength: 2 * size })
      await attempt(() => binding.tensorCreate(new Uint8Array(buffer), listThat([size], 0, () => change(buffer)), 'uint8'))
    }
    // A fixed view stays what it was while its buffer grows; it is out of bounds when the buffer shrinks.
    for (const change of [shrink, detach, grow]) {
      const buffer = new ArrayBuffer(size, { maxByteLength: 2 * size })
      await attempt(() => binding.tensorCreate(new Uint8Array(buffer, 0, size), listThat([size], 0, () => change(buffer)), 'uint8'))
    }
    // The buffers of a random draw's keys.
    for (const change of [shrink, detach]) {
      const buffer = new ArrayBuffer(2 ** 16, { maxByteLength: 2 ** 16 })
      const keys = new Float64Array(buffer)
      await attempt(() => binding.randomNormal(1, 0, 0, keys, listThat([keys.length, 2], 1, () => change(buffer)), 'cpu'))
    }
    // A list that grows by an entry for each that is read has the length that it had.
    const growing = [1]
    Object.defineProperty(growing, 0, { get() { growing.push(1); return 1 } })
    await attempt(() => binding.tensorCreate(new Uint8Array(1), growing, 'uint8'))
    const endless = new Proxy([1], {})
    await attempt(() => binding.tensorCreate(new Uint8Array(1), endless, 'uint8'))
    console.log(JSON.stringify(ends))
    process.exit(0)`)
  expect({ code: end.code, signal: end.signal, stderr: end.stderr }).toEqual({ code: 0, signal: null, stderr: '' })
  const size = 2 ** 24
  expect(JSON.parse(end.stdout)).toEqual([
    'DPM_INVALID_ARGUMENT',
    'DPM_INVALID_ARGUMENT',
    'DPM_INVALID_ARGUMENT',
    'DPM_INVALID_ARGUMENT',
    'DPM_INVALID_ARGUMENT',
    `${size}`,
    // Its keys were copied before the shape was read.
    '8192×2',
    '8192×2',
    '1',
    'DPM_INVALID_ARGUMENT',
  ])
})

test('an update whose fields dispose of its own batch is made, or refused', async () => {
  const end = await runChild(`
    const network = await createNetwork()
    const images = createInput()
    const settings = { optimizer: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clipNorm: 0, averages: 1, precision: 'float32', activationCheckpointing: false }
    const training = await binding.trainingCreate(network, settings)
    const batch = {
      images, classes: null, condition: null, rows: new Float64Array(4 * 13).fill(0.5), examples: Float64Array.of(0, 1, 2, 3), epochs: new Float64Array(4),
      get seed() { binding.dispose(images); binding.dispose(network); binding.dispose(training); return 1 },
      total: 4, loss: 'l2', lossScale: 1, noiseExamples: null, noiseEpochs: null, forwardStep: null, detachMean: false, rowGradients: false, first: true,
      update: { learningRate: 0, step: 1, averagingDecays: [0.5] },
    }
    const { finite } = await binding.trainingStep(training, batch, null, null)
    console.log(finite)
    process.exit(0)`)
  expect({ code: end.code, signal: end.signal, stderr: end.stderr, stdout: end.stdout }).toEqual({
    code: 0,
    signal: null,
    stderr: '',
    stdout: 'true\n',
  })
})
