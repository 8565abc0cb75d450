import { describe, expect, test } from 'vitest'
import type { TensorHandle } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'
import { normals } from '../../lib/random/philox.js'
import { noisePurposes } from '../../lib/random/purposes.js'
import { holdHandles } from './handles.js'

const held = holdHandles()

interface Draw {
  readonly seed: number
  readonly purpose: number
  readonly step: number
  readonly examples: readonly number[]
  readonly size: readonly number[]
}

function draw({ seed, purpose, step, examples, size }: Draw): Promise<TensorHandle> {
  const keys = Float64Array.from(examples)
  return loadBinding().randomNormal(seed, purpose, step, keys, [examples.length, ...size], 'cpu')
}

async function drawBytes(request: Draw): Promise<Buffer> {
  return Buffer.from(await loadBinding().tensorData(held(await draw(request))))
}

function floatsOf(bytes: Buffer): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
}

/** Largest distance from the float64 twin. */
async function largestDifference(request: Draw): Promise<number> {
  const actual = floatsOf(await drawBytes(request))
  const count = request.size.reduce((product, extent) => product * extent, 1)
  expect(actual).toHaveLength(count * request.examples.length)
  let largest = 0
  request.examples.forEach((example, n) => {
    const wanted = normals(request.seed, request.purpose, request.step, example, count)
    // A NaN, once there, stays.
    for (let i = 0; i < count; i++)
      largest = Math.max(largest, Math.abs((actual[n * count + i] ?? 0) - (wanted[i] ?? 0)))
  })
  return largest
}

const request: Draw = { seed: 5, purpose: noisePurposes.step, step: 3, examples: [7], size: [3, 8, 8] }

describe('native normals are the float64 normals of lib/random/philox.ts to 1e-6', () => {
  test('over a million values', async () => {
    const million: Draw = { ...request, seed: 1, examples: [0, 1, 2, 3], size: [1, 512, 512] }
    expect(await largestDifference(million)).toBeLessThan(1e-6)
  })
  test.each([1, 2, 3, 4, 5, 7, 17, 1023, 4097])('for an odd size: %i elements', async (size) => {
    expect(await largestDifference({ ...request, examples: [2, 9], size: [size] })).toBeLessThan(1e-6)
  })
  test.each([0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 45 + 12_345, 2 ** 53 - 1])(
    'for the seed %i',
    async (seed) => {
      expect(await largestDifference({ ...request, seed })).toBeLessThan(1e-6)
    },
  )
  test.each(Object.entries(noisePurposes))('for the purpose %s', async (_, purpose) => {
    expect(await largestDifference({ ...request, purpose })).toBeLessThan(1e-6)
  })
  test.each([0, 1, 999, 2 ** 31, 2 ** 32 - 1])('for the step and the example %i', async (word) => {
    expect(await largestDifference({ ...request, step: word })).toBeLessThan(1e-6)
    expect(await largestDifference({ ...request, examples: [word] })).toBeLessThan(1e-6)
  })
})

test('a row is the same bytes in any batch, in any place', async () => {
  const examples = [31, 4, 159, 26, 5, 35]
  const size = [3, 5, 7]
  const rowBytes = 4 * 3 * 5 * 7
  const batch = await drawBytes({ ...request, examples, size })
  const shuffled = await drawBytes({ ...request, examples: examples.toReversed(), size })
  for (const [n, example] of examples.entries()) {
    const alone = await drawBytes({ ...request, examples: [example], size })
    expect(batch.subarray(n * rowBytes, (n + 1) * rowBytes).equals(alone)).toBe(true)
    const place = examples.length - 1 - n
    expect(shuffled.subarray(place * rowBytes, (place + 1) * rowBytes).equals(alone)).toBe(true)
  }
})

test('any number of threads draws the same bytes', async () => {
  const { threads } = loadBinding().version()
  const many = await drawBytes({ ...request, size: [3, 64, 64] })
  await loadBinding().setThreads(1)
  const one = await drawBytes({ ...request, size: [3, 64, 64] })
  await loadBinding().setThreads(threads)
  expect(one.equals(many)).toBe(true)
})

test('another seed, purpose, step or example is another draw', async () => {
  const others = [{}, { seed: 6 }, { seed: 5 + 2 ** 32 }, { purpose: 2 }, { step: 4 }, { examples: [8] }]
  const draws = await Promise.all(
    others.map(async (change) => (await drawBytes({ ...request, ...change })).toString('hex')),
  )
  expect(new Set(draws).size).toBe(others.length)
})

describe('refusals', () => {
  test.each([-1, 0.5, Number.NaN, 2 ** 53])('the seed %d', (seed) => {
    expect(() => draw({ ...request, seed })).toThrow(expect.objectContaining({ code: 'DPM_INVALID_ARGUMENT' }))
  })
  test.each([-1, 0.5, Number.NaN, 2 ** 32])('the step and the example %d', (word) => {
    expect(() => draw({ ...request, step: word })).toThrow('for `step` but received')
    expect(() => draw({ ...request, examples: [word] })).toThrow('in `examples` but received')
  })
  test('another number of keys than rows', () => {
    const keys = Float64Array.of(1, 2)
    expect(() => loadBinding().randomNormal(1, 0, 0, keys, [3, 4], 'cpu')).toThrow('one example key per row')
  })
})
