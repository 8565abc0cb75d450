/** What a network may have beside image in, image out: an image that it sees, and a learned variance. */
import { describe, expect, test } from 'vitest'
import { ProgramRun } from '../../lib/generation/program-run.js'
import type { NetworkHandle, TensorHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { Network } from '../../lib/networks/network.js'
import type { Instruction, Program } from '../../lib/sampling/program.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { createTensor, holdHandles } from './handles.js'
import { createTinyUnet, drawImages, runForward, tinyElements, tinyImage, tinyUnetSettings } from './tiny-unet.js'
import { batchOf, createTraining, mixturesOf, planOf, relativeDistance } from './training-batch.js'

const held = holdHandles()
const size = tinyImage.height * tinyImage.width
const channels = 2
const conditional = { settings: { conditionChannels: channels } }

/** K channels of image n, a function of n alone. */
function sideOf(samples: readonly number[]): Float32Array {
  const all = drawImages(Math.max(...samples) + 1, channels * size, 77)
  return Float32Array.from(samples.flatMap((n) => [...all.subarray(n * channels * size, (n + 1) * channels * size)]))
}

function sideTensor(samples: readonly number[]): TensorHandle {
  return createTensor(held, sideOf(samples), [samples.length, channels, tinyImage.height, tinyImage.width])
}

function shapeOf(count: number, depth: number): number[] {
  return [count, depth, tinyImage.height, tinyImage.width]
}

test('an image beside x is further channels of x', async () => {
  const joint = { ...tinyUnetSettings({ image: { ...tinyImage, channels: 3 + channels } }), outputChannels: 3 }
  const wide = held(await loadBinding().networkCreate('unet', joint, 1, 'cpu'))
  const network = await createTinyUnet(held, conditional)
  const labels = Float64Array.of(3, 700)
  const [x, side] = [drawImages(2), sideOf([4, 5])]
  const both = [0, 1].flatMap((n) => [
    ...x.subarray(n * tinyElements, (n + 1) * tinyElements),
    ...side.subarray(n * channels * size, (n + 1) * channels * size),
  ])
  const wanted = await runForward(held, wide, { values: both, shape: shapeOf(2, 5) }, labels)
  const given = { values: x, shape: shapeOf(2, 3) }
  expect(await runForward(held, network, given, labels, null, sideTensor([4, 5]))).toEqual(wanted)
})

test('Fourier features are further channels of x: its sines, then its cosines', async () => {
  const fourierFeatures = [0, 2]
  const waves = [Math.sin, Math.cos].flatMap((wave) =>
    fourierFeatures.map((n) => [wave, 2 * Math.PI * 2 ** n] as const),
  )
  const seen = 3 * waves.length
  const network = await createTinyUnet(held, { settings: { fourierFeatures } })
  const plain = await createTinyUnet(held, { settings: { conditionChannels: seen } })
  const x = drawImages(2)
  const labels = Float64Array.of(3, 700)
  const features = [0, 1].flatMap((n) => {
    const image = [...x.subarray(n * tinyElements, (n + 1) * tinyElements)]
    return waves.flatMap(([wave, frequency]) => image.map((value) => wave(frequency * value)))
  })
  const given = { values: x, shape: shapeOf(2, 3) }
  const wanted = await runForward(
    held,
    plain,
    given,
    labels,
    null,
    createTensor(held, Float32Array.from(features), shapeOf(2, seen)),
  )
  expect(relativeDistance(await runForward(held, network, given, labels), wanted)).toBeLessThan(1e-5)
})

test('training shows the image to the network too', async () => {
  const plan = planOf([3, 1])
  const network = await createTinyUnet(held, conditional)
  const { x, target } = mixturesOf(plan)
  const labels = Float64Array.from(plan.rows, ({ cNoise }) => cNoise)
  const output = await runForward(held, network, { values: x, shape: shapeOf(2, 3) }, labels, null, sideTensor([8, 9]))
  const training = await createTraining(held, network)
  const report = await loadBinding().trainingStep(
    training,
    batchOf(held, plan, { condition: sideTensor([8, 9]) }),
    null,
  )
  for (const n of [0, 1]) {
    let wanted = 0
    for (let i = n * tinyElements; i < (n + 1) * tinyElements; i++)
      wanted += ((output[i] ?? 0) - (target[i] ?? 0)) ** 2 / tinyElements
    expect(Math.abs((report.losses[n] ?? 0) / wanted - 1)).toBeLessThan(1e-5)
  }
})

const evaluate = { op: 'evaluate', out: 1, x: 0, network: 0, condition: 'given', cIn: 0.5, cNoise: 12 } as const

function programOf(instruction: Instruction, output: number): Program {
  return { version: 1, name: 'test', registers: 3, inputs: { x: 0 }, output, steps: 0, instructions: [instruction] }
}

async function outputOf(
  network: NetworkHandle,
  program: Program,
  samples: readonly number[],
  side: boolean,
): Promise<Float32Array> {
  const values = samples.flatMap((n) => [...drawImages(n + 1).subarray(n * tinyElements)])
  using x = Tensor.from(Float32Array.from(values), shapeOf(samples.length, 3))
  using image = side ? Tensor.from(sideOf(samples), shapeOf(samples.length, channels)) : undefined
  const options = { seed: 1, samples: Float64Array.from(samples), chunk: 2, classes: null, image }
  using run = await ProgramRun.create([network], program, { x }, { ...options, precision: 'float32' })
  await run.advance()
  using output = await run.read('output')
  return output.data()
}

test('a run shows each sample its own image, in any batch', async () => {
  const network = await createTinyUnet(held, conditional)
  const samples = [5, 0, 3, 1, 9]
  const whole = await outputOf(network, programOf(evaluate, 1), samples, true)
  for (const [k, n] of samples.entries()) {
    const values = drawImages(n + 1).subarray(n * tinyElements)
    const x = { values: values.map((value) => 0.5 * value), shape: shapeOf(1, 3) }
    const wanted = await runForward(held, network, x, Float64Array.of(12), null, sideTensor([n]))
    const of = whole.slice(k * tinyElements, (k + 1) * tinyElements)
    of.forEach((value, i) => void expect(Math.abs(value - (wanted[i] ?? 0))).toBeLessThan(1e-5))
    expect(await outputOf(network, programOf(evaluate, 1), [n], true)).toEqual(of)
  }
})

describe('a learned variance', () => {
  test('is the second half of the channels, in a register of its own or dropped', async () => {
    const network = await createTinyUnet(held, { outputs: 2 })
    const samples = [2, 0, 1]
    const values = samples.flatMap((n) => [...drawImages(n + 1).subarray(n * tinyElements)].map((value) => 0.5 * value))
    const labels = new Float64Array(3).fill(12)
    const both = await runForward(held, network, { values, shape: shapeOf(3, 3) }, labels)
    expect(both).toHaveLength(3 * 2 * tinyElements)
    const asked = { ...evaluate, variance: 2 }
    const mean = await outputOf(network, programOf(asked, 1), samples, false)
    const variance = await outputOf(network, programOf(asked, 2), samples, false)
    expect(await outputOf(network, programOf(evaluate, 1), samples, false)).toEqual(mean)
    for (let i = 0; i < 3 * tinyElements; i++) {
      const at = Math.floor(i / tinyElements) * 2 * tinyElements + (i % tinyElements)
      expect(Math.abs((mean[i] ?? 0) - (both[at] ?? 0))).toBeLessThan(1e-5)
      expect(Math.abs((variance[i] ?? 0) - (both[at + tinyElements] ?? 0))).toBeLessThan(1e-5)
    }
  })

  test('that was not learned is refused before the run', async () => {
    const network = await createTinyUnet(held)
    const run = outputOf(network, programOf({ ...evaluate, variance: 2 }, 1), [0], false)
    await expect(run).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: expect.stringContaining('has not learned one: it has 3 output channels for images of 3'),
    })
  })
})

describe('refused', () => {
  const shape = shapeOf(1, 3)
  const forward = (network: NetworkHandle, image: TensorHandle | null) =>
    runForward(held, network, { values: drawImages(1), shape }, Float64Array.of(1), null, image)

  test('an image for a network that takes none', async () => {
    await expect(forward(await createTinyUnet(held), sideTensor([0]))).rejects.toThrow('the network takes none')
  })
  test('no image for a network that takes one', async () => {
    await expect(forward(await createTinyUnet(held, conditional), null)).rejects.toThrow('of shape 1×2×8×8')
  })
  test('an image for another number of examples', async () => {
    const run = forward(await createTinyUnet(held, conditional), sideTensor([0, 1]))
    await expect(run).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: 'Expected a float32 tensor of shape 1×2×8×8 for the conditioning `image` but received shape 2×2×8×8.',
    })
  })
  test('an image of bytes', async () => {
    const bytes = createTensor(held, new Uint8Array(channels * size), shapeOf(1, channels), 'uint8')
    await expect(forward(await createTinyUnet(held, conditional), bytes)).rejects.toThrow('elements of type Byte')
  })
})

test('from TypeScript: a network of two outputs that sees an image', async () => {
  const options = { channels: 8, multipliers: [1], groups: 4, attentionResolutions: [], conditionChannels: 1 }
  using network = await Network.create('unet', options, { image: tinyImage, outputs: 2, device: 'cpu' })
  using x = Tensor.from(drawImages(2), shapeOf(2, 3))
  using image = Tensor.from(drawImages(2, size), shapeOf(2, 1))
  using pass = await network.forward(x, [1, 2], { image })
  expect(pass.output.shape).toEqual(shapeOf(2, 6))
  await expect(network.forward(x, [1, 2])).rejects.toThrow('give an `image`')
})
