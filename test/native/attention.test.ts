/** Attention's own kernel against the formula in float64 and against libtorch's operators. */
import { afterEach, describe, expect, test } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'
import { createTensor, holdHandles, takeFloats } from './handles.js'
import { relativeDistance } from './training-batch.js'

const held = holdHandles()
const threads = loadBinding().version().threads
afterEach(() => loadBinding().setThreads(threads))

interface Sizes {
  readonly count: number
  readonly positions: number
  readonly heads: number
  readonly width: number
  readonly interleaved?: boolean
}

interface Place {
  readonly fused?: boolean
  readonly precision?: 'float32' | 'bfloat16' | 'float16'
  /** Columns of the joint before and behind the rows that are read. */
  readonly before?: number
  readonly behind?: number
  /** Whether positions are what lies side by side in memory. */
  readonly columns?: boolean
  readonly gradient?: boolean
}

/** Smooth, of no period that matters. */
function draw(length: number, seed: number, scale = 1): Float32Array {
  return Float32Array.from({ length }, (_, i) => scale * (Math.sin(1 + i * 1.7 + seed) + Math.cos(i * i * 0.31 + seed)))
}

/** Where element c of part 0 (query), 1 (key) or 2 (value) of a head lies in a row of 3E. */
function column({ heads, width, interleaved }: Sizes, part: number, head: number): number {
  return interleaved ? (3 * head + part) * width : (part * heads + head) * width
}

/** softmax(q k' / sqrt(width)) v and the gradient of its product with `byMixed`, by the definition. */
function formula(sizes: Sizes, joint: ArrayLike<number>, byMixed: ArrayLike<number>) {
  const { count, positions, heads, width } = sizes
  const [channels, scale] = [heads * width, 1 / Math.sqrt(width)]
  const mixed = new Float64Array(count * positions * channels)
  const byJoint = new Float64Array(3 * mixed.length)
  for (let n = 0; n < count; n++) {
    for (let head = 0; head < heads; head++) {
      const at = (part: number, s: number) => (n * positions + s) * 3 * channels + column(sizes, part, head)
      const dot = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number) => {
        let sum = 0
        for (let c = 0; c < width; c++) sum += (a[i + c] ?? 0) * (b[j + c] ?? 0)
        return sum
      }
      const add = (to: Float64Array, i: number, factor: number, from: ArrayLike<number>, j: number) => {
        for (let c = 0; c < width; c++) to[i + c] = (to[i + c] ?? 0) + factor * (from[j + c] ?? 0)
      }
      for (let i = 0; i < positions; i++) {
        const out = (n * positions + i) * channels + head * width
        const scores = Float64Array.from({ length: positions }, (_, j) => scale * dot(joint, at(0, i), joint, at(1, j)))
        const top = Math.max(...scores)
        const powers = scores.map((score) => Math.exp(score - top))
        const total = powers.reduce((sum, power) => sum + power, 0)
        const probabilities = powers.map((power) => power / total)
        const slopes = probabilities.map((_, j) => dot(byMixed, out, joint, at(2, j)))
        const mean = slopes.reduce((sum, slope, j) => sum + slope * (probabilities[j] ?? 0), 0)
        for (const [j, probability] of probabilities.entries()) {
          add(mixed, out, probability, joint, at(2, j))
          add(byJoint, at(2, j), probability, byMixed, out)
          const byScore = scale * probability * ((slopes[j] ?? 0) - mean)
          add(byJoint, at(0, i), byScore, joint, at(1, j))
          add(byJoint, at(1, j), byScore, joint, at(0, i))
        }
      }
    }
  }
  return { mixed, byJoint }
}

/** What the addon makes of rows of 3E, wherever they lie. */
async function attend(sizes: Sizes, rows: Float32Array, byMixed: Float32Array, place: Place = {}) {
  const { count, positions, heads, width, interleaved = false } = sizes
  const { fused = true, precision = 'float32', before = 0, behind = 0, columns = false, gradient = true } = place
  const [channels, wide] = [heads * width, before + 3 * heads * width + behind]
  const spread = new Float32Array(count * positions * wide).fill(1e3)
  const placeOf = (row: number, c: number) => {
    const [n, s] = [Math.floor(row / positions), row % positions]
    return columns ? (n * wide + before + c) * positions + s : row * wide + before + c
  }
  for (const [i, value] of rows.entries()) spread[placeOf(Math.floor(i / (3 * channels)), i % (3 * channels))] = value
  const binding = loadBinding()
  const given = async (values: Float32Array, shape: readonly number[]) =>
    held(await binding.tensorConvert(createTensor(held, values, shape), precision, 'cpu'))
  const result = await binding.attend(
    await given(spread, columns ? [count, wide, positions] : [count, positions, wide]),
    gradient ? await given(byMixed, [count, positions, channels]) : null,
    { heads, channels, first: before, columns, interleaved, fused },
  )
  const floats = async (handle: Parameters<typeof held>[0]) =>
    takeFloats(await binding.tensorConvert(held(handle) as typeof result.mixed, 'float32', 'cpu'))
  expect(binding.tensorInfo(result.mixed)).toMatchObject({ shape: [count, positions, channels], dtype: precision })
  const mixed = await floats(result.mixed)
  if (!result.byJoint) return { mixed, byJoint: new Float32Array(), outside: new Float32Array() }
  const all = await floats(result.byJoint)
  const byJoint = rows.map((_, i) => all[placeOf(Math.floor(i / (3 * channels)), i % (3 * channels))] ?? Number.NaN)
  for (const i of rows.keys()) all[placeOf(Math.floor(i / (3 * channels)), i % (3 * channels))] = 0
  return { mixed, byJoint, outside: all }
}

function drawn(sizes: Sizes, scale = 1) {
  const elements = sizes.count * sizes.positions * sizes.heads * sizes.width
  return { rows: draw(3 * elements, 1, scale), byMixed: draw(elements, 2) }
}

const cases: readonly (readonly [string, Sizes])[] = [
  ['one position', { count: 2, positions: 1, heads: 2, width: 4 }],
  ['two positions of one channel', { count: 1, positions: 2, heads: 3, width: 1 }],
  ['heads of 8', { count: 2, positions: 64, heads: 3, width: 8 }],
  ['odd heads of 5', { count: 2, positions: 37, heads: 3, width: 5, interleaved: true }],
  ['heads of 16', { count: 2, positions: 49, heads: 2, width: 16 }],
  ['odd heads of 21', { count: 1, positions: 35, heads: 2, width: 21, interleaved: true }],
  ['heads of 32', { count: 2, positions: 16, heads: 2, width: 32 }],
  ['heads of 40', { count: 1, positions: 33, heads: 3, width: 40 }],
  ['heads of 64', { count: 1, positions: 64, heads: 2, width: 64, interleaved: true }],
  ['a head of 128', { count: 1, positions: 31, heads: 1, width: 128 }],
  ['many positions', { count: 1, positions: 300, heads: 2, width: 8 }],
  ['many positions of 24', { count: 1, positions: 200, heads: 1, width: 24 }],
]

describe.each(cases)('%s', (_, sizes) => {
  const { rows, byMixed } = drawn(sizes)
  const wanted = formula(sizes, rows, byMixed)

  test('have the values and the gradient of the formula', async () => {
    const found = await attend(sizes, rows, byMixed)
    expect(relativeDistance(found.mixed, wanted.mixed)).toBeLessThan(1e-6)
    // At one position nothing depends on queries and keys.
    expect(relativeDistance(found.byJoint, wanted.byJoint)).toBeLessThan(1e-6)
    expect((await attend(sizes, rows, byMixed, { gradient: false })).mixed).toEqual(found.mixed)
  })

  test("have those of libtorch's operators, which the switch brings back", async () => {
    const found = await attend(sizes, rows, byMixed)
    const plain = await attend(sizes, rows, byMixed, { fused: false })
    expect(relativeDistance(found.mixed, plain.mixed)).toBeLessThan(2e-6)
    expect(relativeDistance(found.byJoint, plain.byJoint)).toBeLessThan(2e-6)
    if (sizes.positions > 2) expect(found.byJoint).not.toEqual(plain.byJoint)
  })

  test.each([
    ['bfloat16', 4e-3],
    ['float16', 5e-4],
  ] as const)('%s loses only what its digits cannot hold', async (precision, tolerance) => {
    // Of the rounded numbers: the inputs lose digits too, before attention sees them.
    const round = async (values: Float32Array) => {
      const half = await loadBinding().tensorConvert(createTensor(held, values, [values.length]), precision, 'cpu')
      return takeFloats(await loadBinding().tensorConvert(held(half), 'float32', 'cpu'))
    }
    const [roundRows, roundByMixed] = [await round(rows), await round(byMixed)]
    const rounded = formula(sizes, roundRows, roundByMixed)
    const found = await attend(sizes, roundRows, roundByMixed, { precision })
    expect(relativeDistance(found.mixed, rounded.mixed)).toBeLessThan(tolerance)
    expect(relativeDistance(found.byJoint, rounded.byJoint)).toBeLessThan(tolerance)
  })

  test('are the same to the bit on any number of threads', async () => {
    await loadBinding().setThreads(1)
    const one = await attend(sizes, rows, byMixed)
    await loadBinding().setThreads(5)
    expect(await attend(sizes, rows, byMixed)).toEqual(one)
  })

  test('are the same to the bit in any company', async () => {
    const alone = await attend(sizes, rows, byMixed)
    const others = drawn({ ...sizes, count: 3 }, 2)
    const joined = (first: Float32Array, second: Float32Array) => Float32Array.from([...first, ...second])
    const together = await attend(
      { ...sizes, count: sizes.count + 3 },
      joined(others.rows, rows),
      joined(others.byMixed, byMixed),
    )
    expect(together.mixed.subarray(others.byMixed.length)).toEqual(alone.mixed)
    expect(together.byJoint.subarray(others.rows.length)).toEqual(alone.byJoint)
  })
})

test.each([
  ['columns that stand apart', { before: 5, behind: 3 }],
  ['an odd column', { before: 1 }],
  ['positions side by side', { columns: true }],
  ['positions side by side, columns that stand apart', { columns: true, before: 2, behind: 7 }],
] as const)('rows are read where they lie: %s', async (_, place) => {
  for (const width of [8, 24]) {
    const sizes = { count: 3, positions: 25, heads: 2, width }
    const { rows, byMixed } = drawn(sizes)
    const { mixed, byJoint } = await attend(sizes, rows, byMixed)
    const found = await attend(sizes, rows, byMixed, place)
    expect(found.mixed).toEqual(mixed)
    expect(found.byJoint).toEqual(byJoint)
    expect(found.outside.every((value) => value === 0)).toBe(true)
  }
})

test.each([3, 16])('no images give no numbers, for heads of %i', async (width) => {
  const sizes = { count: 0, positions: 9, heads: 2, width }
  const found = await attend(sizes, new Float32Array(), new Float32Array())
  expect(found).toMatchObject({ mixed: new Float32Array(), byJoint: new Float32Array() })
})

test.each([8, 40])('scores of thousands neither overflow nor lose the sum, for heads of %i', async (width) => {
  const sizes = { count: 1, positions: 50, heads: 2, width }
  const { rows, byMixed } = drawn(sizes, 30)
  const wanted = formula(sizes, rows, byMixed)
  const found = await attend(sizes, rows, byMixed)
  // An error of half a unit in the last place of a score of thousands is one of 1e-4 in its exponential.
  expect(relativeDistance(found.mixed, wanted.mixed)).toBeLessThan(2e-4)
  expect(found.byJoint.every(Number.isFinite)).toBe(true)
})

test.each([8, 40])('a NaN stays with its query, for heads of %i', async (width) => {
  const sizes = { count: 1, positions: 20, heads: 1, width }
  const { rows, byMixed } = drawn(sizes)
  rows[3 * width * 7] = Number.NaN
  const { mixed } = await attend(sizes, rows, byMixed)
  for (let s = 0; s < 20; s++) {
    expect(mixed.subarray(s * width, (s + 1) * width).every(Number.isNaN)).toBe(s === 7)
  }
})
