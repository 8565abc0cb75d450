import { describe, expect, test } from 'vitest'
import { dataSchema } from '../../lib/datasets/list.js'
import { roomFor } from '../../lib/datasets/memory-data-set.js'
import { pointLaws } from '../../lib/datasets/point-laws.js'
import { inUnits } from '../../lib/datasets/vectors.js'
import { type DataSet, openDataSet } from '../../lib/index.js'

async function open(options: Readonly<Record<string, unknown>>): Promise<DataSet> {
  return openDataSet(dataSchema.parse({ kind: 'points', ...options }))
}

/** Every point in the law's own units. */
async function drawn(dataSet: DataSet): Promise<number[][]> {
  const values = roomFor(dataSet, dataSet.length)
  await dataSet.read(
    Array.from({ length: dataSet.length }, (_, index) => index),
    values,
  )
  const { columns, channels } = dataSet
  if (!columns) throw new Error('points have columns')
  const all = inUnits(values, columns)
  return Array.from({ length: dataSet.length }, (_, n) => [...all.subarray(n * channels, (n + 1) * channels)])
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

describe.each(Object.keys(pointLaws))('the law %s', (law) => {
  test('is seen with mean 0 and deviation 1 in both columns, and comes back in its own units', async () => {
    const dataSet = await open({ law, count: 4000 })
    const values = roomFor(dataSet, 4000)
    await dataSet.read([...Array(4000).keys()], values)
    for (const column of [0, 1]) {
      const seen = [...values].filter((_, i) => i % 2 === column)
      expect(mean(seen)).toBeCloseTo(0, 5)
      expect(mean(seen.map((value) => value ** 2))).toBeCloseTo(1, 5)
    }
    expect(dataSet).toMatchObject({ channels: 2, height: 1, width: 1, length: 4000 })
  })

  test('gives each point by the seed and its index alone, and others to test with', async () => {
    const few = await drawn(await open({ law, count: 20, seed: 3 }))
    const many = await drawn(await open({ law, count: 50, seed: 3 }))
    few.flat().forEach((value, i) => {
      expect(value).toBeCloseTo(many.flat()[i] ?? Number.NaN, 5)
    })
    const held = await drawn(await open({ law, count: 20, seed: 3, split: 'test' }))
    expect(held.filter((point, n) => Math.hypot(...point.map((x, i) => x - (few[n]?.[i] ?? 0))) < 1e-3)).toEqual([])
  })
})

test('8-gaussians: eight classes of one weight, each a normal about its centre', async () => {
  const dataSet = await open({ law: '8-gaussians', count: 16_000 })
  const points = await drawn(dataSet)
  expect(dataSet.classes).toHaveLength(8)
  for (let label = 0; label < 8; label++) {
    const own = points.filter((_, n) => dataSet.classOf(n) === label)
    expect(Math.abs(own.length / 16_000 - 1 / 8)).toBeLessThan(4 * Math.sqrt(((1 / 8) * (7 / 8)) / 16_000))
    const centre = [Math.cos, Math.sin].map((side) => (4 / Math.SQRT2) * side((label * Math.PI) / 4))
    for (const column of [0, 1]) {
      const off = own.map((point) => (point[column] ?? 0) - (centre[column] ?? 0))
      expect(Math.abs(mean(off))).toBeLessThan(0.04)
      expect(Math.sqrt(mean(off.map((value) => value ** 2)))).toBeCloseTo(0.5 / Math.SQRT2, 1.5)
    }
  }
})

test('without blur, a Swiss roll is a spiral, rings have their radii, and a checkerboard fills every second square', async () => {
  for (const [x = 0, y = 0] of await drawn(await open({ law: 'swiss-roll', count: 500, noise: 0 }))) {
    const t = 5 * Math.hypot(x, y)
    expect([x, y]).toEqual([expect.closeTo((t * Math.cos(t)) / 5, 4), expect.closeTo((t * Math.sin(t)) / 5, 4)])
    expect(t).toBeGreaterThan(1.5 * Math.PI - 1e-4)
    expect(t).toBeLessThan(4.5 * Math.PI + 1e-4)
  }
  const rings = await open({ law: 'rings', count: 500, noise: 0 })
  for (const [n, point] of (await drawn(rings)).entries()) {
    expect(Math.hypot(...point)).toBeCloseTo(0.75 * (rings.classOf(n) + 1), 4)
  }
  const squares = new Set(
    (await drawn(await open({ law: 'checkerboard', count: 4000 }))).map(([x = 0, y = 0]) =>
      [Math.floor(x / 2 - 1e-6), Math.floor(y / 2 - 1e-6)].join(),
    ),
  )
  expect([...squares].every((square) => square.split(',').reduce((sum, side) => sum + Number(side), 0) % 2 === 0)).toBe(
    true,
  )
  expect(squares.size).toBe(8)
})

test('a mixture on a line has the weights, means and deviations of its modes', async () => {
  const modes = [
    { weight: 1, mean: -3, deviation: 0.1 },
    { weight: 3, mean: 2, deviation: 0.5 },
  ]
  const dataSet = await open({ law: 'mixture', count: 20_000, modes })
  expect(dataSet).toMatchObject({ channels: 1, columns: { names: ['x'] }, classes: ['0', '1'] })
  const points = (await drawn(dataSet)).flat()
  const left = points.filter((x) => x < -1)
  expect(left.length / points.length).toBeCloseTo(0.25, 2)
  expect(mean(left)).toBeCloseTo(-3, 1)
  expect(mean(points.filter((x) => x >= -1).map((x) => (x - 2) ** 2))).toBeCloseTo(0.25, 1)
  const mixed = open({ law: 'mixture', modes: [{ mean: 0 }, { mean: [1, 2] }] })
  await expect(mixed).rejects.toThrow('Give all of them one, or all of them two')
})

test('8-bit room is refused for vectors', async () => {
  const dataSet = await open({ count: 4 })
  await expect(dataSet.read([0], new Uint8Array(2))).rejects.toThrow('Expected a Float32Array of 2 elements for `into`')
})

test('openDataSet takes bare options: the defaults are filled in, and a wrong one is named', async () => {
  const { length, columns } = await openDataSet({ kind: 'points' })
  const whole = await open({})
  expect({ length, names: columns?.names }).toEqual({ length: whole.length, names: whole.columns?.names })
  await expect(openDataSet({ kind: 'points', law: 'moon' } as never)).rejects.toThrow(/law.*moon|moon.*law/s)
})
