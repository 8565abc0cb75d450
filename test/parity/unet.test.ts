import { afterEach, describe, expect, test } from 'vitest'
import type { NetworkHandle, PassHandle, TensorHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { unet } from '../../lib/networks/unet.js'
import {
  decodeFloats,
  distance,
  drawImages,
  drawParameter,
  norm,
  project,
  readUnetFixture,
  type UnetFixture,
  unetFixtureNames,
} from './unet-fixture.js'

/** A float32 network against float64 references; float32 PyTorch itself is off by 7e-7 and 4e-6. */
const forwardTolerance = 1e-5
const gradientTolerance = 1e-4

const handles: (NetworkHandle | PassHandle | TensorHandle)[] = []

afterEach(() => {
  for (const handle of handles.splice(0)) loadBinding().dispose(handle)
  expect(loadBinding().memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0 })
})

function held<Handle extends (typeof handles)[number]>(handle: Handle): Handle {
  handles.push(handle)
  return handle
}

function tensor(values: Float32Array, shape: readonly number[]): TensorHandle {
  return held(loadBinding().tensorCreate(new Uint8Array(values.buffer), shape, 'float32'))
}

async function read(handle: TensorHandle): Promise<Float32Array> {
  return new Float32Array(await loadBinding().tensorData(handle))
}

function shapeOf({ labels, image }: UnetFixture): number[] {
  return [labels.length, image.channels, image.height, image.width]
}

async function createNetwork({ settings, image, classes }: UnetFixture): Promise<NetworkHandle> {
  const native = unet.native(unet.options.parse(settings), image, classes)
  return held(await loadBinding().networkCreate('unet', native, 0, 'cpu'))
}

async function writeWeights(network: NetworkHandle): Promise<void> {
  const binding = loadBinding()
  for (const { name, shape } of binding.networkParameters(network)) {
    await binding.networkWrite(network, name, tensor(drawParameter(name, shape), shape))
  }
}

async function runForward(network: NetworkHandle, fixture: UnetFixture): Promise<PassHandle> {
  const shape = shapeOf(fixture)
  const classes = fixture.classIndices && Int32Array.from(fixture.classIndices)
  const x = tensor(drawImages('input', shape), shape)
  const labels = Float64Array.from(fixture.labels)
  return held(await loadBinding().networkForward(network, x, labels, classes, null, true, 'float32', null))
}

describe.each(unetFixtureNames)('the U-Net against PyTorch: %s', (name) => {
  const fixture = readUnetFixture(name)

  test('has the same parameters', async () => {
    const network = await createNetwork(fixture)
    const ours = loadBinding().networkParameters(network)
    const theirs = fixture.parameters.map(({ name, shape }) => ({ name, shape }))
    const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1)
    expect(ours.toSorted(byName)).toEqual(theirs.toSorted(byName))
  })

  test('computes the same output', async () => {
    const network = await createNetwork(fixture)
    await writeWeights(network)
    const pass = await runForward(network, fixture)
    const output = held(loadBinding().passOutput(pass))
    expect(loadBinding().tensorInfo(output)).toMatchObject({ shape: shapeOf(fixture), dtype: 'float32' })
    const { l2, largest } = distance(await read(output), decodeFloats(fixture.output))
    expect(l2).toBeLessThan(forwardTolerance)
    expect(largest).toBeLessThan(forwardTolerance)
  })

  test('computes the same gradients', async () => {
    const network = await createNetwork(fixture)
    await writeWeights(network)
    const pass = await runForward(network, fixture)
    const shape = shapeOf(fixture)
    const { input, parameters } = await loadBinding().passBackward(pass, tensor(drawImages('objective', shape), shape))
    held(input)
    parameters.forEach(held)

    const { l2, largest } = distance(await read(input), decodeFloats(fixture.inputGradient))
    expect(l2).toBeLessThan(gradientTolerance)
    expect(largest).toBeLessThan(gradientTolerance)

    const names = loadBinding()
      .networkParameters(network)
      .map(({ name }) => name)
    expect(parameters).toHaveLength(names.length)
    const worst = { name: '', error: 0 }
    for (const [i, handle] of parameters.entries()) {
      const error = gradientError(fixture, names[i] ?? '', await read(handle))
      if (!(error <= worst.error)) Object.assign(worst, { name: names[i], error })
    }
    expect(worst.error, `gradient of ${worst.name}`).toBeLessThan(gradientTolerance)
  })
})

/** The largest of the differences in norm and in the projections, relative to the norm: a projection of e is of e's size. */
function gradientError(fixture: UnetFixture, name: string, gradient: Float32Array): number {
  const reference = fixture.parameters.find((row) => row.name === name)
  if (!reference) return Number.NaN
  const projections = project(name, gradient, reference.projections.length)
  const differences = reference.projections.map((value, k) => Math.abs(value - (projections[k] ?? Number.NaN)))
  return Math.max(Math.abs(norm(gradient) - reference.norm), ...differences) / reference.norm
}

test('the CIFAR-10 network of Ho et al. 2020 has 35,746,307 parameters', async () => {
  const settings = unet.options.parse({
    kind: 'unet',
    channels: 128,
    multipliers: [1, 2, 2, 2],
    blocks: 2,
    attentionResolutions: [16],
    dropout: 0.1,
  })
  const native = unet.native(settings, { channels: 3, height: 32, width: 32 }, 0)
  const network = held(await loadBinding().networkCreate('unet', native, 0, 'cpu'))
  const sizes = loadBinding()
    .networkParameters(network)
    .map(({ shape }) => shape.reduce((product, extent) => product * extent, 1))
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(35_746_307)
})
