/** How weights start: the laws of the names, and what a weight is a function of. */
import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'
import type { UnetOptions } from '../../lib/networks/unet.js'
import { normals } from '../../lib/random/philox.js'
import { holdHandles } from './handles.js'
import { createTinyUnet, readParameters } from './tiny-unet.js'

const held = holdHandles()
const seed = 5
/** 64×32×3×3, the widest of a U-Net of two levels. */
const wide = { name: 'down.1.blocks.0.conv1.weight', in: 32 * 9, out: 64 * 9, rows: 64, columns: 32 * 9 }
/** 128×32: more rows than columns. */
const tall = { name: 'time.in.weight', in: 32, out: 128, rows: 128, columns: 32 }

async function drawn(settings: Partial<UnetOptions>, from = seed): Promise<Map<string, Float32Array>> {
  const small = { channels: 32, multipliers: [1, 2], attentionResolutions: [], middleAttention: false }
  return readParameters(await createTinyUnet(held, { settings: { ...small, ...settings }, seed: from }))
}

const moment = (values: Float32Array, power: number): number =>
  values.reduce((sum, value) => sum + value ** power, 0) / values.length

const largest = (values: Iterable<number>): number =>
  [...values].reduce((top, value) => Math.max(top, Math.abs(value)), 0)

function weightOf(parameters: Map<string, Float32Array>, name: string): Float32Array {
  const values = parameters.get(name)
  if (!values) throw new RangeError(name)
  return values
}

describe.each([wide, tall])('$name', (layer) => {
  test.each([
    { initialization: 'ddpm', law: 'uniform', variance: 2 / (layer.in + layer.out) },
    { initialization: 'torch', law: 'uniform', variance: 1 / (3 * layer.in) },
    { initialization: 'he-normal', law: 'normal', variance: 2 / layer.in },
    { initialization: 'he-uniform', law: 'uniform', variance: 2 / layer.in },
    { initialization: 'xavier-normal', law: 'normal', variance: 2 / (layer.in + layer.out) },
    { initialization: 'xavier-uniform', law: 'uniform', variance: 2 / (layer.in + layer.out) },
  ] as const)('$initialization is $law of the published variance', async ({ initialization, law, variance }) => {
    const parameters = await drawn({ initialization })
    const values = weightOf(parameters, layer.name)
    const count = layer.rows * layer.columns
    expect(values).toHaveLength(count)
    // Four standard deviations of each moment's estimate: of x² and x⁴ of a uniform or a normal.
    const uniform = law === 'uniform'
    expect(Math.abs(moment(values, 1)) / Math.sqrt(variance / count)).toBeLessThan(4)
    const spread = Math.sqrt((uniform ? 0.8 : 2) / count)
    expect(Math.abs(moment(values, 2) / variance - 1) / spread).toBeLessThan(4)
    const kurtosis = uniform ? 1.8 : 3
    expect(Math.abs(moment(values, 4) / moment(values, 2) ** 2 - kurtosis)).toBeLessThan(0.3)
    const edge = largest(values) / Math.sqrt(3 * variance)
    if (uniform) expect(edge).toBeLessThanOrEqual(1 + 1e-6)
    else expect(edge).toBeGreaterThan(1.5)
    const biases = weightOf(parameters, layer.name.replace('.weight', '.bias'))
    if (initialization === 'torch') expect(largest(biases) * Math.sqrt(layer.in)).toBeGreaterThan(0.8)
    else expect(largest(biases)).toBe(0)
  })

  test('orthogonal: what Gram and Schmidt make of the normals of seed and name', async () => {
    const weight = weightOf(await drawn({ initialization: 'orthogonal' }), layer.name)
    const { rows, columns } = layer
    const source = normals(seed, 'weights', 0, crc32(layer.name), rows * columns)
    const expected = orthonormal(Float64Array.from(source), rows, columns)
    expect(largest(weight.map((value, i) => value - (expected[i] ?? 0)))).toBeLessThan(2e-6)
    // Independent of that: the products of the fewer are those of an orthonormal set.
    const [count, length, step, stride] = rows <= columns ? [rows, columns, 1, columns] : [columns, rows, columns, 1]
    let worst = 0
    for (let a = 0; a < count; a++) {
      for (let b = 0; b <= a; b++) {
        let product = a === b ? -1 : 0
        for (let i = 0; i < length; i++) {
          product += (weight[a * stride + i * step] ?? 0) * (weight[b * stride + i * step] ?? 0)
        }
        worst = Math.max(worst, Math.abs(product))
      }
    }
    expect(worst).toBeLessThan(3e-7)
  })
})

/** The rows made orthonormal where they are not more than the columns, else the columns; one projection after the other. */
function orthonormal(matrix: Float64Array, rows: number, columns: number): Float64Array {
  const [count, length, step, stride] = rows <= columns ? [rows, columns, 1, columns] : [columns, rows, columns, 1]
  const at = (vector: number, i: number): number => vector * stride + i * step
  const add = (vector: number, i: number, value: number): void => {
    matrix[at(vector, i)] = (matrix[at(vector, i)] ?? 0) + value
  }
  const dot = (a: number, b: number): number => {
    let sum = 0
    for (let i = 0; i < length; i++) sum += (matrix[at(a, i)] ?? 0) * (matrix[at(b, i)] ?? 0)
    return sum
  }
  for (let vector = 0; vector < count; vector++) {
    for (let before = 0; before < vector; before++) {
      const share = dot(vector, before)
      for (let i = 0; i < length; i++) add(vector, i, -share * (matrix[at(before, i)] ?? 0))
    }
    const norm = Math.sqrt(dot(vector, vector))
    for (let i = 0; i < length; i++) add(vector, i, (1 / norm - 1) * (matrix[at(vector, i)] ?? 0))
  }
  return matrix
}

describe.each(['orthogonal', 'he-normal'] as const)('%s weights', (initialization) => {
  test('are the same bytes whatever the number of threads', async () => {
    const alone = await drawn({ initialization })
    await loadBinding().setThreads(2)
    try {
      expect(await drawn({ initialization })).toEqual(alone)
    } finally {
      await loadBinding().setThreads(1)
    }
  })

  test('depend on seed and name, and not on what else there is', async () => {
    const weight = weightOf(await drawn({ initialization }), wide.name)
    const among = await drawn({ initialization, blocks: 2, multipliers: [1, 2, 2] })
    expect(weightOf(among, wide.name)).toEqual(weight)
    expect(weightOf(await drawn({ initialization }, seed + 1), wide.name)).not.toEqual(weight)
    const sibling = weightOf(among, 'down.1.blocks.1.conv1.weight')
    expect(sibling.subarray(0, 16)).not.toEqual(weight.subarray(0, 16))
  })
})

test('the q, k and v of an attention start as three layers, not as one', async () => {
  const attentive = { initialization: 'ddpm', middleAttention: true, heads: 1 } as const
  const values = weightOf(await drawn(attentive), 'middle.attention.qkv.weight')
  // 64 channels in, 64 out of each.
  expect(Math.abs(moment(values, 2) * 64 - 1) / Math.sqrt(0.8 / values.length)).toBeLessThan(4)
})

test('what begins at zero does so whatever the others do', async () => {
  const parameters = await drawn({ initialization: 'orthogonal', zeroLayers: 'zero' })
  expect(largest(weightOf(parameters, 'middle.block1.conv2.weight'))).toBe(0)
  const tiny = await drawn({ initialization: 'he-normal', zeroLayers: 'tiny' })
  const whole = await drawn({ initialization: 'he-normal', zeroLayers: 'none' })
  const name = 'output.conv.weight'
  const ratio = moment(weightOf(tiny, name), 2) / moment(weightOf(whole, name), 2)
  expect(ratio / 1e-10).toBeCloseTo(1, 5)
})
