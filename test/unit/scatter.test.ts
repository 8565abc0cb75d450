import { expect, test } from 'vitest'
import { ScatterPlot } from '../../lib/images/scatter.js'

const reach = { data: [-1, -2, 1, 2] }

/** Places where two pictures of one size differ, as fractions of a panel's plot: 0, 0 is its lower left corner. */
function differences(a: Uint8Array, b: Uint8Array, width: number): readonly (readonly [number, number])[] {
  const places: [number, number][] = []
  const pixels = a.length / 3
  for (let i = 0; i < pixels; i++) {
    if (a[i] === b[i]) continue
    places.push([((i % width) % 400) - 50, 370 - Math.floor(i / width)])
  }
  return places.map(([x, y]) => [x / 336, y / 336])
}

test('a point is drawn where the axes say, and only in its panel', async () => {
  const plot = await ScatterPlot.create({ columns: ['x', 'y'], titles: ['data', 'samples'], reach })
  const empty = plot.draw([{ data: [] }, { data: [] }])
  const one = plot.draw([{ data: [] }, { data: [0.5, -1] }])
  expect([one.channels, one.height, one.width]).toEqual([3, 414, 800])
  const changed = differences(one.data, empty.data, one.width)
  expect(changed).toHaveLength(5)
  // The axes reach over 5 % more than the data on either side, and their margins over 3 % of that.
  const span = 2 * 1.1 * 1.06
  for (const [x, y] of changed) {
    expect(Math.abs(x - (0.5 + 0.5 / span))).toBeLessThan(0.01)
    expect(Math.abs(y - (0.5 - 1 / (2 * span)))).toBeLessThan(0.01)
  }
  expect(changed.length).toBe(differences(plot.draw([{ data: [0.5, -1] }, { data: [] }]).data, empty.data, 800).length)
})

test('what lies beyond the axes, or is no number, is not drawn', async () => {
  const plot = await ScatterPlot.create({ columns: ['x', 'y'], titles: ['samples'], reach })
  const empty = plot.draw([{ data: [] }])
  expect(plot.draw([{ data: [50, 0, Number.NaN, 1, 0, Number.POSITIVE_INFINITY] }]).data).toEqual(empty.data)
})

test('labels have colours of their own', async () => {
  const plot = await ScatterPlot.create({ columns: ['x', 'y'], titles: ['samples'], reach })
  const data = [0, 0]
  const [first, second] = [0, 1].map((label) => plot.draw([{ data, labels: [label] }]).data)
  expect(first).not.toEqual(second)
})

test('one column is a histogram: the bar is as high as its share', async () => {
  const values = Array.from({ length: 1000 }, (_, i) => (i < 750 ? 0.25 : 0.75))
  const plot = await ScatterPlot.create({ columns: ['x'], titles: ['samples'], reach: { data: values } })
  const empty = plot.draw([{ data: [] }])
  const filled = plot.draw([{ data: values }])
  const places = differences(filled.data, empty.data, filled.width)
  const height = (from: number, to: number): number =>
    Math.max(...places.filter(([x]) => x >= from && x < to).map(([, y]) => y))
  expect(height(0.5, 1) / height(0, 0.5)).toBeCloseTo(1 / 3, 1)
})
