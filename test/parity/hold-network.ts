/** Holds a native network to the numbers of its public implementation, fixture by fixture. */
import { afterEach, describe, expect, test } from 'vitest'
import type { NetworkHandle, PassHandle, TensorHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import type { NetworkDefinition } from '../../lib/networks/network-definition.js'
import {
  decodeFloats,
  distance,
  drawImages,
  drawParameter,
  type NetworkFixture,
  networkFixtureNames,
  norm,
  project,
  readNetworkFixture,
} from './network-fixture.js'

/** A float32 network against float64 references; float32 PyTorch itself is off by 7e-7 and 4e-6. */
const forwardTolerance = 1e-5
const gradientTolerance = 1e-4

const handles: (NetworkHandle | PassHandle | TensorHandle)[] = []

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

const inputShape = ({ labels, image }: NetworkFixture): number[] => [
  labels.length,
  image.channels,
  image.height,
  image.width,
]

function outputShape<Settings>({ gives }: NetworkDefinition<Settings>, fixture: NetworkFixture): number[] {
  const [count = 0, channels = 0, ...size] = inputShape(fixture)
  if (gives === 'logits') return [count, fixture.classes]
  return [count, channels * (fixture.learnedVariance ? 2 : 1), ...size]
}

async function createNetwork<Settings>(
  definition: NetworkDefinition<Settings>,
  { settings, image, classes, learnedVariance }: NetworkFixture,
): Promise<NetworkHandle> {
  const native = definition.native(definition.options.parse(settings), image, classes, learnedVariance ? 2 : 1)
  return held(await loadBinding().networkCreate(definition.name, native, 0, 'cpu'))
}

async function writeWeights(network: NetworkHandle): Promise<void> {
  const binding = loadBinding()
  for (const { name, shape } of binding.networkParameters(network)) {
    await binding.networkWrite(network, name, tensor(drawParameter(name, shape), shape))
  }
}

async function runForward(network: NetworkHandle, fixture: NetworkFixture): Promise<PassHandle> {
  const shape = inputShape(fixture)
  const classes = fixture.classIndices && Int32Array.from(fixture.classIndices)
  const x = tensor(drawImages('input', shape), shape)
  const labels = Float64Array.from(fixture.labels)
  return held(await loadBinding().networkForward(network, x, labels, classes, null, true, 'float32', null))
}

/** The largest of the differences in norm and in the projections, relative to the norm: a projection of e is of e's size. */
function gradientError(fixture: NetworkFixture, name: string, gradient: Float32Array): number {
  const reference = fixture.parameters.find((row) => row.name === name)
  if (!reference) return Number.NaN
  const projections = project(name, gradient, reference.projections.length)
  const differences = reference.projections.map((value, k) => Math.abs(value - (projections[k] ?? Number.NaN)))
  // What the output does not see has no gradient.
  return Math.max(Math.abs(norm(gradient) - reference.norm), ...differences) / (reference.norm > 0 ? reference.norm : 1)
}

/** @param topic folder of `test/fixtures` with a fixture in each of its JSON files */
export function holdNetwork<Settings>(definition: NetworkDefinition<Settings>, topic: string): void {
  afterEach(() => {
    for (const handle of handles.splice(0)) loadBinding().dispose(handle)
    expect(loadBinding().memory()).toMatchObject({ tensors: 0, networks: 0, others: 0, bytes: 0 })
  })

  describe.each(networkFixtureNames(topic))(`network "${definition.name}" against the public one: %s`, (name) => {
    const fixture = readNetworkFixture(topic, name)

    test('has the same parameters', async () => {
      const network = await createNetwork(definition, fixture)
      const ours = loadBinding()
        .networkParameters(network)
        .map(({ name, shape }) => ({ name, shape }))
      const theirs = fixture.parameters.map(({ name, shape }) => ({ name, shape }))
      const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1)
      expect(ours.toSorted(byName)).toEqual(theirs.toSorted(byName))
    })

    test('computes the same output', async () => {
      const network = await createNetwork(definition, fixture)
      await writeWeights(network)
      const pass = await runForward(network, fixture)
      const output = held(loadBinding().passOutput(pass))
      expect(loadBinding().tensorInfo(output)).toMatchObject({
        shape: outputShape(definition, fixture),
        dtype: 'float32',
      })
      const { l2, largest } = distance(await read(output), decodeFloats(fixture.output))
      expect(l2).toBeLessThan(forwardTolerance)
      expect(largest).toBeLessThan(forwardTolerance)
    })

    test('computes the same gradients', async () => {
      const network = await createNetwork(definition, fixture)
      await writeWeights(network)
      const pass = await runForward(network, fixture)
      const shape = outputShape(definition, fixture)
      const objective = tensor(drawImages('objective', shape), shape)
      const { input, parameters } = await loadBinding().passBackward(pass, objective)
      held(input)
      parameters.forEach(held)

      const { l2, largest } = distance(await read(input), decodeFloats(fixture.inputGradient))
      expect(l2).toBeLessThan(gradientTolerance)
      expect(largest).toBeLessThan(gradientTolerance)

      const rows = loadBinding().networkParameters(network)
      expect(parameters).toHaveLength(rows.length)
      const worst = { name: '', error: 0 }
      for (const [i, handle] of parameters.entries()) {
        const row = rows[i]
        if (!row?.trained) continue
        const error = gradientError(fixture, row.name, await read(handle))
        if (!(error <= worst.error)) Object.assign(worst, { name: row.name, error })
      }
      expect(worst.error, `gradient of ${worst.name}`).toBeLessThan(gradientTolerance)
    })
  })
}
