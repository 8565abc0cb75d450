/**
 * Fixtures of networks, one folder of `test/fixtures` for each, and the weights, inputs and directions that they name by
 * Philox keys; `test/fixtures/network_fixture.py`, which the scripts there write them with, says how each is drawn.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import * as z from 'zod'
import { normals } from '../../lib/random/philox.js'

const seeds = { weights: 2026, input: 7, objective: 8, projections: 9 } as const

const fixtureSchema = z.strictObject({
  about: z.string(),
  /** Whose numbers they are. */
  reference: z.string(),
  settings: z.record(z.string(), z.unknown()),
  image: z.strictObject({ channels: z.int(), height: z.int(), width: z.int() }),
  classes: z.int(),
  labels: z.array(z.number()),
  classIndices: z.array(z.int()).nullable(),
  output: z.base64(),
  inputGradient: z.base64(),
  /** The configuration of the public implementation, where it has one. */
  config: z.record(z.string(), z.unknown()).optional(),
  /** The second half of the output is a learned variance. */
  learnedVariance: z.boolean().default(false),
  parameters: z.array(
    z.strictObject({
      name: z.string(),
      shape: z.array(z.int()),
      norm: z.number(),
      projections: z.array(z.number()),
    }),
  ),
})

export type NetworkFixture = z.output<typeof fixtureSchema>

const folderOf = (topic: string): URL => new URL(`../fixtures/${topic}/`, import.meta.url)

export function networkFixtureNames(topic: string): readonly string[] {
  return readdirSync(folderOf(topic))
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort()
}

export function readNetworkFixture(topic: string, name: string): NetworkFixture {
  return fixtureSchema.parse(JSON.parse(readFileSync(new URL(`${name}.json`, folderOf(topic)), 'utf8')))
}

/** The elements of a stored array of little-endian float32. */
export function decodeFloats(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'))
  return new Float32Array(bytes.buffer)
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}

/** The weights of the parameter of that name. */
export function drawParameter(name: string, shape: readonly number[]): Float32Array {
  const drawn = normals(seeds.weights, 'weights', 0, crc32(name), elementCount(shape))
  if (name === 'classes.weight' || name.endsWith('.phases')) return Float32Array.from(drawn)
  if (name.endsWith('.frequencies')) return Float32Array.from(drawn, (value) => 4 * value)
  if (shape.length > 1) {
    const root = Math.sqrt(elementCount(shape.slice(1)))
    return Float32Array.from(drawn, (value) => value / root)
  }
  const mean = /\.(bias|mean)$/.test(name) ? 0 : 1
  return Float32Array.from(drawn, (value) => mean + 0.1 * value)
}

/** The network's input, or the gradient of the objective with respect to its output: N×C×H×W. */
export function drawImages(which: 'input' | 'objective', shape: readonly number[]): Float32Array {
  const [count = 0, ...image] = shape
  const size = elementCount(image)
  const images = new Float32Array(count * size)
  for (let n = 0; n < count; n++) images.set(normals(seeds[which], 'initial', 0, n, size), n * size)
  return images
}

/** Inner products of a parameter's gradient with as many fixed normal directions. */
export function project(name: string, gradient: Float32Array, count: number): number[] {
  return Array.from({ length: count }, (_, k) => {
    const direction = normals(seeds.projections, 'initial', k, crc32(name), gradient.length)
    return gradient.reduce((sum, value, i) => sum + value * (direction[i] ?? 0), 0)
  })
}

export function norm(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0))
}

/** How far an array is from its reference: relative in the L2 norm, and largest difference over largest value. */
export function distance(actual: ArrayLike<number>, reference: ArrayLike<number>): { l2: number; largest: number } {
  if (actual.length !== reference.length)
    throw new RangeError(`${actual.length} elements, the reference has ${reference.length}`)
  const differences = Array.from(reference, (value, i) => Number(actual[i]) - value)
  const largest = (values: ArrayLike<number>): number =>
    Array.from(values).reduce((top, value) => Math.max(top, Math.abs(value)), 0)
  return { l2: norm(differences) / norm(reference), largest: largest(differences) / largest(reference) }
}
