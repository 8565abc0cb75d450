/** Pairings of a run: in order, with pauses, and one that fails alone. */
import { describe, expect, test } from 'vitest'
import type { Pairing } from '../../lib/diffusion/coupling.js'
import { createPairing, NoisePairing, type PairedBatch } from '../../lib/training/pair-noise.js'

const batchOf = (...indices: number[]): PairedBatch => ({
  images: new Uint8Array(indices.length),
  indices: Float64Array.from(indices),
  epochs: Float64Array.from(indices, (index) => 100 + index),
})

/** Each image takes the noise of the next one, after so many rows as the first cost says. */
const shifting: Pairing = function* (costs, size) {
  for (let row = 0; row < (costs[0] ?? 0); row++) yield
  return Int32Array.from({ length: size }, (_, n) => (n + 1) % size)
}

describe('a pairing', () => {
  test('gives the keys of the noises that images are paired with', async () => {
    const pairing = new NoisePairing(shifting, async () => [0])
    expect(await pairing.keysOf(batchOf(7, 3, 5))).toEqual({
      examples: Float64Array.of(3, 5, 7),
      epochs: Float64Array.of(103, 105, 107),
    })
  })

  test('ends before the next one begins, however long it takes', async () => {
    const course: string[] = []
    const slow: Pairing = function* (costs, size) {
      const [rows = 0] = Array.from(costs)
      course.push(`begin ${rows}`)
      for (const end = performance.now() + rows; performance.now() < end; ) yield
      course.push(`end ${rows}`)
      return new Int32Array(size)
    }
    const pairing = new NoisePairing(slow, async ({ indices }) => indices)
    await Promise.all([30, 1, 20].map((rows) => pairing.keysOf(batchOf(rows))))
    expect(course).toEqual(['begin 30', 'end 30', 'begin 1', 'end 1', 'begin 20', 'end 20'])
  })

  test('gives the event loop its turns', async () => {
    const busy: Pairing = function* (_, size) {
      for (let row = 0; row < 20; row++) {
        for (const end = performance.now() + 4; performance.now() < end; );
        yield
      }
      return new Int32Array(size)
    }
    let turns = 0
    const timer = setInterval(() => {
      turns += 1
    }, 1)
    await new NoisePairing(busy, async () => []).keysOf(batchOf(0))
    clearInterval(timer)
    expect(turns).toBeGreaterThan(4)
  })

  test('that fails, or is told to stop, leaves the next one its turn', async () => {
    const pairing = new NoisePairing(shifting, async ({ indices }) => {
      if (indices[0] === 1) throw new Error('no costs')
      return [3]
    })
    const [failed, stopped, next] = await Promise.allSettled([
      pairing.keysOf(batchOf(1)),
      pairing.keysOf(batchOf(2), AbortSignal.abort()),
      pairing.keysOf(batchOf(3)),
    ])
    expect(failed).toMatchObject({ reason: { message: 'no costs' } })
    expect(stopped).toMatchObject({ reason: { code: 'DPM_ABORTED' } })
    expect(next).toMatchObject({ value: { examples: Float64Array.of(3) } })
  })

  test('is none where each image has its own noise', () => {
    expect(createPairing('independent', [1, 2, 2], 0)).toBeUndefined()
  })
})
