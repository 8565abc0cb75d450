/**
 * Whether a model computes what it computed elsewhere: its network's output for a stored input against the stored output.
 *
 * A fixture is a safetensors file with the tensors `input` (N×C×H×W), `labels` (N times as the network is told them), `output`,
 * and where the network needs them `classes` (N) and `image` (N×K×H×W); or JSON of the same names, each a nested list.
 */
import * as z from 'zod'
import { toFloat32 } from '../checkpoints/archives/float-values.js'
import { openArchive } from '../checkpoints/archives/open-archive.js'
import { DpmError } from '../errors.js'
import { readJson } from '../files/read-json.js'
import type { Network } from '../networks/network.js'
import { Tensor } from '../tensor/tensor.js'

interface Stored {
  readonly shape: readonly number[]
  readonly data: Float32Array<ArrayBuffer>
}

export interface Verification {
  /** Largest difference of an element. */
  readonly largest: number
  /** The same as a share of the largest stored value. */
  readonly relative: number
  readonly elements: number
}

const names = ['input', 'labels', 'output', 'classes', 'image'] as const
type Part = (typeof names)[number]
type Fixture = Partial<Record<Part, Stored>>

/** JSON larger than this is not a fixture. */
const maximumJsonLength = 256e6

/** @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID for what is no fixture, or one of another shape than the model. */
export async function verifyOutput(network: Network, path: string): Promise<Verification> {
  const fixture = await readFixture(path)
  const { input, labels, output } = fixture
  if (!input || !labels || !output) {
    throw invalid(
      path,
      `it has no ${names
        .slice(0, 3)
        .filter((name) => !fixture[name])
        .join(', ')}`,
    )
  }
  using x = Tensor.from(input.data, input.shape)
  using image = fixture.image && Tensor.from(fixture.image.data, fixture.image.shape)
  using pass = await network.forward(x, labels.data, {
    ...(fixture.classes ? { classes: fixture.classes.data } : {}),
    ...(image ? { image } : {}),
    gradient: false,
  })
  using computed = pass.output
  if (computed.shape.join() !== output.shape.join()) {
    throw invalid(path, `its output is ${output.shape.join('×')}, and the network's ${computed.shape.join('×')}`)
  }
  return difference(await computed.data(), output.data)
}

function difference(computed: Float32Array, stored: Float32Array): Verification {
  let [largest, scale] = [0, 0]
  for (const [index, value] of stored.entries()) {
    const apart = Math.abs((computed[index] ?? Number.NaN) - value)
    // What is not a number is as far away as can be.
    largest = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : Math.max(largest, apart)
    scale = Math.max(scale, Math.abs(value))
  }
  return { largest, relative: scale > 0 ? largest / scale : largest, elements: stored.length }
}

async function readFixture(path: string): Promise<Fixture> {
  if (!path.endsWith('.json')) {
    await using archive = await openArchive(path)
    const parts: Fixture = {}
    for (const name of names) {
      const tensor = archive.tensors.get(name)
      if (tensor) parts[name] = { shape: tensor.shape, data: toFloat32(tensor.dtype, await tensor.read()) }
    }
    return parts
  }
  const document = documentSchema.safeParse(await readJson(path, { what: 'fixture', maximumLength: maximumJsonLength }))
  if (!document.success) throw invalid(path, 'it is no object')
  const given = names.filter((name) => document.data[name] !== undefined && document.data[name] !== null)
  return Object.fromEntries(given.map((name) => [name, storedOf(document.data[name], name, path)]))
}

const documentSchema = z.record(z.string(), z.unknown())

/** Axes of what a fixture holds: N×C×H×W. */
const maximumDepth = 4

function storedOf(value: unknown, name: string, path: string): Stored {
  const shape: number[] = []
  for (let inner = value; Array.isArray(inner) && shape.length <= maximumDepth; inner = inner[0])
    shape.push(inner.length)
  const data: number[] = []
  const visit = (inner: unknown, depth: number): void => {
    if (depth === shape.length && typeof inner === 'number') {
      data.push(inner)
      return
    }
    if (depth >= maximumDepth || !Array.isArray(inner) || inner.length !== shape[depth]) {
      throw invalid(path, `its ${name} is no list of numbers, or of lists of one length, up to ${maximumDepth} deep`)
    }
    for (const item of inner) visit(item, depth + 1)
  }
  visit(value, 0)
  return { shape, data: Float32Array.from(data) }
}

function invalid(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} cannot be used to verify the model: ${reason}. A fixture has input, labels and output.`,
    { details: { path } },
  )
}
