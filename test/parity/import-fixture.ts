/**
 * Fixtures of importers: names and shapes of a public model's tensors, and its outputs; `test/fixtures/import/
 * import_fixture.py` says how its weights are drawn.
 */
import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import * as z from 'zod'
import { normals } from '../../lib/random/philox.js'
import { SavedTensor } from '../unit/torch-writer.js'
import { elementCount } from './network-fixture.js'

const fixtureSchema = z.strictObject({
  about: z.string(),
  image: z.strictObject({ channels: z.int(), height: z.int(), width: z.int() }),
  /** What `--set` says of it. */
  set: z.record(z.string(), z.unknown()),
  labels: z.array(z.number()),
  classIndices: z.array(z.int()).nullable(),
  /** Channels of the condition image. */
  condition: z.int(),
  /** Bytes of the small images that a super-resolution model enlarges. */
  lowResolution: z.array(z.int()).optional(),
  /** Tensors that are no parameters, of which no average is kept. */
  buffers: z.array(z.string()),
  /** By copy: `trained`, `averaged`. */
  outputs: z.record(z.string(), z.base64()),
  tensors: z.record(z.string(), z.array(z.int())),
  /** Buffers whose values matter. */
  values: z.record(z.string(), z.base64()).optional(),
  /** A run of the program's own sampler with the averaged copy: the times it visits, and its images. */
  ddim: z.strictObject({ times: z.array(z.int()), images: z.base64() }).optional(),
})
export type ImportFixture = z.output<typeof fixtureSchema>

export function readImportFixture(name: string): ImportFixture {
  const url = new URL(`../fixtures/import/${name}.json`, import.meta.url)
  return fixtureSchema.parse(JSON.parse(readFileSync(url, 'utf8')))
}

/** The state dict of a copy. */
export function stateDict({ tensors }: ImportFixture, copy: string): Map<string, SavedTensor> {
  return new Map(
    Object.entries(tensors).map(([name, shape]) => [name, new SavedTensor(draw(copy, name, shape), shape)]),
  )
}

function draw(copy: string, name: string, shape: readonly number[]): Float32Array {
  const drawn = normals(2027, 'weights', 0, crc32(`${copy}:${name}`), elementCount(shape))
  if (shape.length > 1) {
    const root = Math.sqrt(elementCount(shape.slice(1)))
    return Float32Array.from(drawn, (value) => value / root)
  }
  const mean = /\.(bias|b)$/.test(name) ? 0 : 1
  return Float32Array.from(drawn, (value) => mean + 0.1 * value)
}
