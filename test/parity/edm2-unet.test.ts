/** EDM2's network against the public one: passes, parameter count, and training steps with forced weight normalisation. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'
import { edm2Unet } from '../../lib/networks/edm2-unet.js'
import { Network } from '../../lib/networks/network.js'
import { createAveraging } from '../../lib/training/averaging.js'
import { createTensor, holdHandles, takeFloats } from '../native/handles.js'
import { batchOf, createTraining, plainRow } from '../native/training-batch.js'
import { holdNetwork } from './hold-network.js'
import { drawImages, drawParameter, norm, project } from './network-fixture.js'

holdNetwork(edm2Unet, 'edm2')

test('EDM2-XXS on latents of ImageNet-512 has the 31,308,901 parameters of the public code', async () => {
  const place = { image: { channels: 4, height: 64, width: 64 }, classes: 1000, device: 'cpu' } as const
  using network = await Network.create('edm2-unet', { channels: 64, classConditional: true }, place)
  expect(network.size).toBe(31_308_901)
})

interface Summary {
  readonly name: string
  readonly norm: number
  readonly projections: readonly number[]
}

interface Steps {
  readonly settings: unknown
  readonly image: { readonly channels: number; readonly height: number; readonly width: number }
  readonly classes: number
  readonly labels: readonly number[]
  readonly classIndices: readonly number[]
  readonly learningRate: number
  readonly losses: readonly number[]
  readonly network: readonly Summary[]
  readonly averages: readonly (readonly Summary[])[]
}

const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/edm2/training/steps.json', import.meta.url), 'utf8'),
) as Steps

/** Largest difference in norm and projections, relative to the norm. */
function apart(values: Float32Array, { name, norm: size, projections }: Summary): number {
  const found = project(name, values, projections.length)
  const differences = projections.map((value, k) => Math.abs(value - (found[k] ?? Number.NaN)))
  return Math.max(Math.abs(norm(values) - size), ...differences) / size
}

describe('training steps', () => {
  const held = holdHandles()

  test('leave weights and averages where the public ones are, in whole batches and in parts', async () => {
    const binding = loadBinding()
    const { image, classes, labels, classIndices, learningRate } = fixture
    const native = edm2Unet.native(edm2Unet.options.parse(fixture.settings), image, classes)
    for (const parts of [1, 2]) {
      const network = held(await binding.networkCreate('edm2-unet', native, 0, 'cpu'))
      for (const { name, shape } of binding.networkParameters(network)) {
        await binding.networkWrite(network, name, createTensor(held, drawParameter(name, shape), shape))
      }
      const training = await createTraining(held, network, { beta2: 0.99, averages: 2 })
      const averagings = [0.05, 0.1].map((deviation) => createAveraging({ kind: 'power', deviation }))
      const rows = labels.map((cNoise) => ({ ...plainRow, alpha: 1, sigma: 0, cNoise }))
      const elements = image.channels * image.height * image.width
      const images = drawImages('input', [labels.length, image.channels, image.height, image.width])
      for (const [index, loss] of fixture.losses.entries()) {
        const step = index + 1
        const update = { learningRate, step, averagingDecays: averagings.map((one) => one.decayAt(step, 1)) }
        let sum = 0
        const size = labels.length / parts
        for (let begin = 0; begin < labels.length; begin += size) {
          const plan = {
            rows: rows.slice(begin, begin + size),
            examples: labels.map((_, n) => n).slice(begin, begin + size),
            epochs: new Array<number>(size).fill(0),
            images: images.subarray(begin * elements, (begin + size) * elements),
            dtype: 'float32',
            seed: 21,
          } as const
          const batch = batchOf(
            held,
            plan,
            {
              classes: Int32Array.from(classIndices.slice(begin, begin + size)),
              total: labels.length,
              first: begin === 0,
              update: begin + size === labels.length ? update : null,
            },
            image,
          )
          sum += (await binding.trainingStep(training, batch, null)).loss
        }
        expect(Math.abs(sum / loss - 1)).toBeLessThan(1e-5)
      }
      for (const row of fixture.network) {
        const values = await takeFloats(await binding.networkRead(network, row.name))
        expect(apart(values, row), row.name).toBeLessThan(1e-4)
      }
      for (const [index, average] of fixture.averages.entries()) {
        for (const row of average) {
          const values = await takeFloats(await binding.trainingRead(training, `average.${index}.${row.name}`))
          expect(apart(values, row), `average ${index} of ${row.name}`).toBeLessThan(1e-4)
        }
      }
    }
  })

  test('do not move the length of a weight, only where it points; what is kept without learning stays', async () => {
    const binding = loadBinding()
    const { image, classes } = fixture
    const native = edm2Unet.native(edm2Unet.options.parse(fixture.settings), image, classes)
    const network = held(await binding.networkCreate('edm2-unet', native, 0, 'cpu'))
    const read = async (name: string) => takeFloats(await binding.networkRead(network, name))
    const name = 'encoder.0.blocks.0.conv1.weight'
    const [drawn, phases] = [await read(name), await read('noise.phases')]
    const training = await createTraining(held, network)
    const begun = await read(name)
    expect(begun).not.toEqual(drawn)
    const plan = {
      rows: [plainRow],
      examples: [0],
      epochs: [0],
      images: drawImages('input', [1, image.channels, image.height, image.width]),
      dtype: 'float32',
      seed: 3,
    } as const
    await binding.trainingStep(training, batchOf(held, plan, {}, image), null)
    const moved = await read(name)
    expect(moved).not.toEqual(begun)
    const rows = 8
    for (let row = 0; row < rows; row++) {
      const width = moved.length / rows
      const size = norm(moved.subarray(row * width, (row + 1) * width)) / Math.sqrt(width)
      expect(Math.abs(size - 1 / (1 + 1e-4))).toBeLessThan(1e-6)
    }
    expect(await read('noise.phases')).toEqual(phases)
    expect(phases.every((phase) => Math.abs(phase) <= Math.PI)).toBe(true)
  })
})
