/**
 * Every kernel of the training step and of sampling is its twin of libtorch's operators (native/engine/ops/operators.h), and
 * both are the formula. The kernels are elementwise, or sum in float64, without fused multiply-adds: where the twin rounds in
 * the same order, it has the same bits.
 */
import { describe, expect, test } from 'vitest'
import { type NativeSettings, type Row, rowFields } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { normals } from '../../lib/random/philox.js'
import { createTensor, holdHandles } from './handles.js'
import { apart, drawn, isSame, sizeOf, type Values } from './layer-alone.js'
import { plainRow } from './training-batch.js'

const held = holdHandles()

interface Input extends Values {
  readonly dtype?: 'float32' | 'float64' | 'uint8'
}

const list = (values: readonly number[]): Input => ({ values, shape: [values.length], dtype: 'float64' })

const listOfRows = (rows: readonly Row[]): Input => ({
  values: rows.flatMap((row) => rowFields.map((field) => row[field])),
  shape: [rows.length, rowFields.length],
  dtype: 'float64',
})

async function run(name: string, inputs: readonly Input[], settings: NativeSettings): Promise<Float64Array[]> {
  const binding = loadBinding()
  const given = inputs.map(({ values, shape, dtype }) => createTensor(held, values, shape, dtype))
  const outputs = (await binding.kernelAlone(name, given, settings)).map(held)
  const wide = await Promise.all(outputs.map((output) => binding.tensorConvert(output, 'float64', 'cpu')))
  return Promise.all(wide.map(async (output) => new Float64Array(await binding.tensorData(held(output)))))
}

/** What the kernel makes, and what its twin does. */
async function both(
  name: string,
  inputs: readonly Input[],
  settings: NativeSettings,
): Promise<[Float64Array[], Float64Array[]]> {
  const [fused, twin] = [
    await run(name, inputs, { ...settings, fused: true }),
    await run(name, inputs, { ...settings, fused: false }),
  ]
  return [fused, twin]
}

describe('the noise step', () => {
  const examples = [3, 70_000, 0]
  const epochs = [2, 0, 5]
  const rows = examples.map((_, n) => ({ ...plainRow, alpha: 0.9 - 0.2 * n, cIn: 1 + n / 3, targetClean: n - 1 }))

  test.each([
    ['float32', [3, 1, 1, 1]],
    ['float32', [3, 3, 5, 7]],
    ['uint8', [3, 1, 13, 1]],
    ['uint8', [3, 2, 17, 19]],
    ['float32', [0, 3, 4, 4]],
  ] as const)('of %s images of %o', async (dtype, shape) => {
    const count = shape[0]
    const { values } = drawn(shape, 1)
    const pixels = dtype === 'uint8' ? Array.from(values, (value) => Math.abs(Math.round(value * 90)) % 256) : values
    const inputs: Input[] = [
      { values: pixels, shape, dtype },
      listOfRows(rows.slice(0, count)),
      list(examples.slice(0, count)),
      list(epochs.slice(0, count)),
    ]
    const [fused, twin] = await both('noise-step', inputs, { seed: 9 })
    expect(isSame(fused, twin)).toBe(true)
    const size = sizeOf(shape) / Math.max(count, 1)
    const wanted: [number[], number[]] = [[], []]
    for (let n = 0; n < count; n++) {
      const { alpha, sigma, cIn, targetClean, targetNoise } = rows[n] ?? plainRow
      const noise = normals(9, 'training', epochs[n] ?? 0, examples[n] ?? 0, size)
      for (let i = 0; i < size; i++) {
        const pixel = pixels[n * size + i] ?? 0
        const clean = dtype === 'uint8' ? pixel / 127.5 - 1 : pixel
        wanted[0].push(cIn * (alpha * clean + sigma * (noise[i] ?? 0)))
        wanted[1].push(targetClean * clean + targetNoise * (noise[i] ?? 0))
      }
    }
    expect(apart(fused[0] ?? [], wanted[0])).toBeLessThan(1e-6)
    expect(apart(fused[1] ?? [], wanted[1])).toBeLessThan(1e-6)
  })
})

describe('the sum of registers', () => {
  const coefficients = Array.from({ length: 16 }, (_, k) => Math.fround(Math.sin(k + 1)))

  test.each([
    [1, 1],
    [2, 1023],
    [3, 511],
    [5, 513],
    [16, 1031],
    [3, 0],
  ])('of %i terms of %i elements', async (terms, size) => {
    const used = coefficients.slice(0, terms)
    const inputs = [list(used), ...used.map((_, k) => drawn([size], k))]
    const [fused, twin] = await both('combine', inputs, { inPlace: false })
    expect(isSame(fused, twin)).toBe(true)
    for (const found of await both('combine', inputs, { inPlace: true })) expect(isSame(found, fused)).toBe(true)
    const wanted = Float64Array.from({ length: size }, (_, i) =>
      used.reduce((sum, coefficient, k) => sum + coefficient * (inputs[k + 1]?.values[i] ?? 0), 0),
    )
    expect(apart(fused[0] ?? [], wanted)).toBeLessThan(1e-6)
  })
})

describe.each(['norm', 'deviation'] as const)('the ratio of %ss', (measure) => {
  test.each([2, 7, 1001])('of samples of %i elements', async (size) => {
    const flat = { values: new Float64Array(3 * size), shape: [3, size] }
    const a = drawn([3, size], 1, 2)
    const b = { ...flat, values: drawn([3, size], 2).values }
    const settings = { measure, factor: 0.7, power: -1.5 }
    const [fused, twin] = await both('ratio', [a, b], settings)
    expect(apart(fused[0] ?? [], twin[0] ?? [])).toBeLessThan(1e-7)
    const measured = ({ values }: Values, n: number) => {
      const sample = Array.from({ length: size }, (_, i) => values[n * size + i] ?? 0)
      const mean = measure === 'norm' ? 0 : sample.reduce((sum, value) => sum + value, 0) / size
      const squares = sample.reduce((sum, value) => sum + (value - mean) ** 2, 0)
      return Math.sqrt(measure === 'norm' ? squares : squares / (size - 1))
    }
    const wanted = Array.from({ length: 3 * size }, (_, i) => {
      const n = Math.floor(i / size)
      return 0.7 * (measured(a, n) / measured(b, n)) ** -1.5
    })
    expect(apart(fused[0] ?? [], wanted)).toBeLessThan(1e-6)
    for (const result of await both('ratio', [a, flat], settings)) expect(result[0]).toEqual(flat.values)
  })
})

describe.each(['l2', 'l1', 'huber', 'pseudo-huber'] as const)('the %s loss', (loss) => {
  const rows = [0.5, 2, 0].map((weight) => ({ ...plainRow, weight }))
  const settings = { loss, scale: 0.4, total: 5 }

  test.each([1, 13, 1031])('of examples of %i elements', async (size) => {
    const output = drawn([3, size], 3)
    const inputs = [output, drawn([3, size], 4), listOfRows(rows)]
    const [fused, twin] = await both('loss', inputs, settings)
    expect(apart(fused[0] ?? [], twin[0] ?? [])).toBeLessThan(2e-7)
    expect(apart(fused[1] ?? [], twin[1] ?? [])).toBeLessThan(1e-6)
    // Its slope, by differences of losses that are sums in float64: h is a whole number of float32's steps.
    const h = 2 ** -12
    for (const index of [0, 3 * size - 1, Math.floor(size / 2)]) {
      const at = async (step: number) => {
        const values = Float32Array.from(output.values, (value, i) => (i === index ? value + step : value))
        const exact = (values[index] ?? 0) - Math.fround(output.values[index] ?? 0)
        const losses = (await run('loss', [{ ...output, values }, ...inputs.slice(1)], { ...settings, fused: true }))[1]
        return [losses?.reduce((sum, value, n) => sum + value * ((rows[n]?.weight ?? 0) / 5), 0) ?? Number.NaN, exact]
      }
      const [[above = 0, up = 0], [below = 0, down = 0]] = [await at(h), await at(-h)]
      const slope = (above - below) / (up - down)
      expect(Math.abs(slope - (fused[0]?.[index] ?? 0))).toBeLessThan(1e-3 / size)
    }
  })

  test('of no examples is none, of no difference has no slope', async () => {
    const none = { values: [], shape: [0, 4] }
    for (const [gradient, losses] of await both('loss', [none, none, listOfRows([])], settings)) {
      expect([...(gradient ?? []), ...(losses ?? [])]).toEqual([])
    }
    const same = drawn([3, 4], 1)
    for (const [gradient, losses] of await both('loss', [same, same, listOfRows(rows)], settings)) {
      expect(gradient?.every((value) => value === 0) && losses?.every((value) => value === 0)).toBe(true)
    }
  })

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('of %d shows in loss and gradient', async (value) => {
    const output = drawn([3, 5], 3)
    const spoiled = { ...output, values: Float64Array.from(output.values, (each, i) => (i === 7 ? value : each)) }
    const [fused, twin] = await both('loss', [spoiled, drawn([3, 5], 4), listOfRows(rows)], settings)
    for (const [gradient = [], losses = []] of [fused, twin]) {
      expect(Array.from(losses, Number.isFinite)).toEqual([true, false, true])
      expect([0, 1, 2].map((n) => [...gradient].slice(5 * n, 5 * n + 5).every(Number.isFinite))).toEqual([
        true,
        false,
        true,
      ])
    }
  })
})

describe('the update', () => {
  const settings = {
    gradientScale: 0.3,
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-8,
    stepSize: 0.02,
    secondCorrection: 1.7,
    decay: 0.1,
    shrink: 0.998,
  }

  test.each([
    [1, 0],
    [4097, 1],
    [20_011, 4],
    [0, 2],
  ])('of %i numbers with %i averages', async (size, averages) => {
    const keep = [0.9, 0.5, 0, 0.999].slice(0, averages)
    const second = Float64Array.from(drawn([size], 4).values, (value) => value * value)
    const inputs = [
      list(keep),
      drawn([size], 1),
      drawn([size], 2, 3),
      drawn([size], 3),
      { values: second, shape: [size] },
      ...keep.map((_, k) => drawn([size], 5 + k)),
    ]
    const [fused, twin] = await both('optimizer', inputs, settings)
    // But the square root, which libtorch's vectors round the other way now and then.
    for (const [k, list] of fused.entries()) expect(apart(list, twin[k] ?? [])).toBeLessThan(1e-7)
    expect(isSame(fused.slice(1, 4), twin.slice(1, 4))).toBe(true)
    const [values = [], gradients = [], first = []] = inputs.slice(1).map((input) => input.values)
    const wanted = Array.from({ length: size }, (_, i) => {
      const gradient = 0.3 * (gradients[i] ?? 0) + 0.1 * (values[i] ?? 0)
      const m = 0.9 * (first[i] ?? 0) + 0.1 * gradient
      const v = 0.99 * (second[i] ?? 0) + 0.01 * gradient * gradient
      return 0.998 * (values[i] ?? 0) - (0.02 * m) / (1.7 * Math.sqrt(v) + 1e-8)
    })
    expect(apart(fused[0] ?? [], wanted)).toBeLessThan(1e-6)
    expect(fused[1]?.every((value) => value === 0)).toBe(true)
    keep.forEach((decay, k) => {
      const before = inputs[5 + k]?.values ?? []
      const after = wanted.map((value, i) => decay * (before[i] ?? 0) + (1 - decay) * value)
      expect(apart(fused[4 + k] ?? [], after)).toBeLessThan(1e-6)
    })
  })
})

describe('dropout', () => {
  test.each([
    [1, 0.5],
    [7, 0.1],
    [1025, 0.9],
    [5000, 0],
  ])('of examples of %i elements with probability %d', async (size, probability) => {
    const inputs = [drawn([2, size], 1), list([5, 2 ** 31]), list([0, 9])]
    const [fused, twin] = await both('dropout', inputs, { seed: 4, site: 6, probability })
    expect(isSame(fused, twin)).toBe(true)
  })
})

describe('a kernel of its own is not run on what does not fit', () => {
  const two = drawn([2, 3], 1)
  const rows = listOfRows([plainRow, plainRow])
  const short = list([1])

  test.each<readonly [string, readonly Input[], number]>([
    ['noise-step', [drawn([2, 3, 2, 2], 1), listOfRows([plainRow]), list([0, 1]), list([0, 1])], 1],
    ['noise-step', [drawn([2, 3, 2, 2], 1), rows, short, list([0, 1])], 2],
    ['combine', [list([1, 1]), drawn([4], 1), drawn([3], 2)], 2],
    ['combine', [short, drawn([4], 1), drawn([4], 2)], 0],
    ['ratio', [two, drawn([2, 2], 2)], 1],
    ['loss', [two, drawn([3, 3], 2), rows], 1],
    ['loss', [two, two, listOfRows([plainRow])], 2],
    ['optimizer', [list([]), drawn([4], 1), drawn([4], 2), drawn([3], 3), drawn([4], 4)], 3],
    ['dropout', [two, list([0, 1]), short], 2],
  ])('%s', async (name, inputs, place) => {
    const settings = { seed: 1, fused: true, inPlace: false, measure: 'norm', loss: 'l2', factor: 1, power: 1 }
    const others = { total: 2, scale: 1, site: 0, probability: 0.5 }
    await expect(run(name, inputs, { ...settings, ...others })).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: expect.stringContaining(`Expected another shape for input ${place} than`),
    })
  })
})
