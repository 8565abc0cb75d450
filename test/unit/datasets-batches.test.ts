import { describe, expect, test } from 'vitest'
import { flipImage, flipped } from '../../lib/datasets/augment.js'
import { type Batch, batchOrder, createBatches } from '../../lib/datasets/batches.js'
import type { DataSet } from '../../lib/datasets/data-set.js'
import { MemoryDataSet } from '../../lib/datasets/memory-data-set.js'
import { DpmError } from '../../lib/errors.js'

/** Example i is 1×1×2: the bytes i and 255 - i. Its class is i mod 3. */
function numbers(length: number): DataSet {
  return new MemoryDataSet({
    name: 'numbers',
    channels: 1,
    height: 1,
    width: 2,
    images: Uint8Array.from({ length: 2 * length }, (_, i) => (i % 2 === 0 ? i / 2 : 255 - (i - 1) / 2)),
    labels: Uint8Array.from({ length }, (_, i) => i % 3),
    classes: ['zero', 'one', 'two'],
  })
}

async function take(batches: AsyncIterable<Batch>, count: number): Promise<Batch[]> {
  const taken: Batch[] = []
  for await (const batch of batches) {
    taken.push(batch)
    if (taken.length === count) break
  }
  return taken
}

/** A data set whose reads are watched, and last until they are let go or aborted. */
function watched(length: number, fails: (call: number) => boolean = () => false) {
  const inner = numbers(length)
  const state = { started: 0, underway: 0, held: false }
  const dataSet: DataSet = Object.assign(Object.create(inner), {
    async read(indices: readonly number[], into: Uint8Array, signal?: AbortSignal): Promise<void> {
      const call = state.started++
      state.underway++
      try {
        while (state.held && !signal?.aborted) await new Promise((resolve) => setTimeout(resolve, 1))
        if (signal?.aborted) throw new DpmError('DPM_ABORTED', 'Reading was cancelled.')
        if (fails(call)) throw new DpmError('DPM_DATA_INVALID', `Read ${call} failed.`)
        await inner.read(indices, into)
      } finally {
        state.underway--
      }
    },
  })
  for (const name of ['name', 'length', 'channels', 'height', 'width', 'classes'] as const) {
    Object.defineProperty(dataSet, name, { value: inner[name] })
  }
  Object.defineProperty(dataSet, 'classOf', { value: (index: number) => inner.classOf(index) })
  return { dataSet, state }
}

describe('the order', () => {
  test('every example comes once in each epoch, also when batches span two', async () => {
    const batches = await take(createBatches(numbers(10), { batch: 4, seed: 7 }), 5)
    const seen = batches.flatMap(({ indices, epochs }) => [...indices].map((index, i) => [epochs[i], index]))
    for (const epoch of [0, 1]) {
      const indices = seen.filter(([its]) => its === epoch).map(([, index]) => index)
      expect(indices.toSorted((a = 0, b = 0) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }
    expect(seen.slice(0, 10).map(([, index]) => index)).not.toEqual(seen.slice(10).map(([, index]) => index))
    expect([...(batches[2]?.epochs ?? [])]).toEqual([0, 0, 1, 1])
    expect(batches.map(({ step, epoch, epochFraction }) => [step, epoch, epochFraction])).toEqual([
      [0, 0, 0.4],
      [1, 0, 0.8],
      [2, 0, 1.2],
      [3, 1, 1.6],
      [4, 1, 2],
    ])
  })

  test('a batch may be larger than the data', () => {
    const { indices, epochs } = batchOrder(3, 8, 0, 1)
    expect([...epochs]).toEqual([2, 3, 3, 3, 4, 4, 4, 5])
    expect([...indices.slice(1, 4)].sort()).toEqual([0, 1, 2])
  })

  test('resuming at a step gives what the whole run gives there, bit by bit, whatever the prefetch', async () => {
    const whole = await take(createBatches(numbers(50), { batch: 8, seed: 3, flip: true }), 12)
    const resumed = await take(
      createBatches(numbers(50), { batch: 8, seed: 3, flip: true, startStep: 9, prefetch: 0 }),
      3,
    )
    expect(resumed).toEqual(whole.slice(9))
    const other = await take(createBatches(numbers(50), { batch: 8, seed: 4, flip: true }), 1)
    expect(other[0]?.indices).not.toEqual(whole[0]?.indices)
  })

  test('images and classes belong to the indices', async () => {
    for (const { indices, images, classes } of await take(createBatches(numbers(50), { batch: 16, seed: 1 }), 6)) {
      for (const [i, index] of indices.entries()) {
        expect([images[2 * i], images[2 * i + 1], classes?.[i]]).toEqual([index, 255 - index, index % 3])
      }
    }
  })
})

describe('flips', () => {
  test('mirror each line of each plane, and twice is nothing', () => {
    const image = Uint8Array.from({ length: 12 }, (_, i) => i)
    const shape = { channels: 2, height: 2, width: 3 }
    flipImage(image, shape)
    expect([...image]).toEqual([2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9])
    flipImage(image, shape)
    expect([...image]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  })

  test('meet half of the examples, independently in each epoch', () => {
    const count = 20_000
    const first = Array.from({ length: count }, (_, i) => flipped(5, 0, i))
    const second = Array.from({ length: count }, (_, i) => flipped(5, 1, i))
    // Binomial: the standard deviation of the share is 0.0035; five of them are never exceeded by chance.
    const share = (values: readonly boolean[]): number => values.filter(Boolean).length / count
    expect(Math.abs(share(first) - 0.5)).toBeLessThan(0.0177)
    expect(Math.abs(share(first.map((value, i) => value === second[i])) - 0.5)).toBeLessThan(0.0177)
  })

  test('are applied to exactly the examples that flipped() names', async () => {
    for (const { indices, epochs, images } of await take(
      createBatches(numbers(50), { batch: 20, seed: 2, flip: true }),
      5,
    )) {
      for (const [i, index] of indices.entries()) {
        const turned = flipped(2, epochs[i] ?? 0, index)
        expect(images[2 * i]).toBe(turned ? 255 - index : index)
      }
    }
  })
})

describe('reading ahead', () => {
  test('keeps as many batches underway as asked for, and no more', async () => {
    const { dataSet, state } = watched(100)
    const batches = createBatches(dataSet, { batch: 2, seed: 0, prefetch: 3 })
    expect(state.started).toBe(0)
    await batches.next()
    expect(state.started).toBe(4)
    await batches.next()
    expect(state.started).toBe(5)
    await batches.return(undefined as never)
    expect(state.underway).toBe(0)
  })

  test('an error comes with the batch it belongs to, and nothing is unhandled', async () => {
    const { dataSet } = watched(100, (call) => call === 2)
    const batches = createBatches(dataSet, { batch: 2, seed: 0, prefetch: 4 })
    expect((await batches.next()).value.step).toBe(0)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect((await batches.next()).value.step).toBe(1)
    await expect(batches.next()).rejects.toThrow('Read 2 failed.')
    expect((await batches.next()).done).toBe(true)
  })

  test('the signal ends a batch that is being waited for, and every other one', async () => {
    const { dataSet, state } = watched(100)
    state.held = true
    const controller = new AbortController()
    const batches = createBatches(dataSet, { batch: 2, seed: 0, signal: controller.signal })
    const waiting = batches.next()
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toMatchObject({ code: 'DPM_ABORTED', name: 'AbortError' })
    expect(state).toMatchObject({ started: 3, underway: 0 })
    const again = createBatches(dataSet, { batch: 2, seed: 0, signal: controller.signal })
    await expect(again.next()).rejects.toMatchObject({ code: 'DPM_ABORTED' })
    expect(state.started).toBe(3)
  })

  test.each([{ batch: 0 }, { batch: 1.5 }, { batch: 4, startStep: -1 }, { batch: 4, prefetch: Number.NaN }])(
    'refuses %o',
    async (options) => {
      await expect(createBatches(numbers(5), { seed: 0, ...options }).next()).rejects.toMatchObject({
        code: 'DPM_INVALID_ARGUMENT',
      })
    },
  )
})
