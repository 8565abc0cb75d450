import { describe, expect, test } from 'vitest'
import { type ChartPanel, chartPicture, lineChart } from '../../lib/images/chart.js'
import { loadSharp } from '../../lib/images/load-sharp.js'

/** Points of every line of a chart, in the pixels of its panel; those that stand behind, which are thinner, by themselves. */
function linesOf(svg: string, width = '1.8'): number[][][] {
  return [...svg.matchAll(/<polyline points="([^"]*)" [^>]*stroke-width="([^"]*)"/g)]
    .filter(([, , found]) => found === width)
    .map(([, points]) => (points ?? '').split(' ').map((point) => point.split(',').map(Number)))
}

const onePanel = (series: ChartPanel['series']): readonly ChartPanel[] => [{ title: '', series }]

const axes = { x: { label: 'evaluations', scale: 'log' }, y: { label: 'error', scale: 'log' } } as const

describe('a line chart', () => {
  test('with logarithmic axes shows a power law as a straight line of its slope', () => {
    const counts = [1, 10, 100, 1000]
    const svg = lineChart({
      title: 'orders',
      ...axes,
      panels: onePanel(
        [1, 2].map((order) => ({ name: `order ${order}`, points: counts.map((n) => [n, n ** -order]) })),
      ),
    })
    const [first = [], second = []] = linesOf(svg)
    const slopes = [first, second].map((points) => {
      const steps = points
        .slice(1)
        .map(([x = 0, y = 0], i) => (y - (points[i]?.[1] ?? 0)) / (x - (points[i]?.[0] ?? 0)))
      for (const step of steps) expect(step).toBeCloseTo(steps[0] ?? Number.NaN, 2)
      return steps[0] ?? Number.NaN
    })
    expect((slopes[1] ?? 0) / (slopes[0] ?? 1)).toBeCloseTo(2, 2)
    // Less error is further down, where y is larger.
    expect(slopes[0]).toBeGreaterThan(0)
    for (const tick of ['1', '10', '100', '1000', '1e-6']) expect(svg).toContain(`>${tick}</text>`)
  })

  test('writes round numbers at linear axes', () => {
    const svg = lineChart({
      title: 'rates',
      x: { label: 'rate' },
      y: { label: 'distortion' },
      panels: onePanel([
        {
          name: 'curve',
          points: [
            [0, 61],
            [2.9, 0],
          ],
        },
      ]),
    })
    for (const tick of ['0.5', '2.5', '20', '60']) expect(svg).toContain(`>${tick}</text>`)
  })

  test('leaves out what a logarithm has no place for, and writes any name', () => {
    const svg = lineChart({
      title: 'a & b',
      ...axes,
      panels: onePanel([
        {
          name: '<dpm++2m>',
          points: [
            [0, 1],
            [1, 0],
            [2, Number.NaN],
            [3, 1e-3],
            [30, 1e-5],
          ],
        },
      ]),
    })
    expect(linesOf(svg)[0]).toHaveLength(2)
    expect(svg).toContain('&lt;dpm++2m&gt;')
    expect(svg).toContain('a &amp; b')
    expect(() => lineChart({ title: '', ...axes, panels: onePanel([{ name: 'none', points: [[-1, 1]] }]) })).toThrow(
      'at least one finite point',
    )
  })

  test('has panels with the axes of all, and what the others show behind each', () => {
    const [high, low] = [
      {
        name: 'high',
        points: [
          [5, 1000],
          [50, 1],
        ],
      },
      {
        name: 'low',
        points: [
          [10, 0.1],
          [50, 0.001],
        ],
      },
    ] as const
    const panels = [
      { title: 'left', series: [high] },
      { title: 'right', series: [low] },
    ]
    const svg = lineChart({ title: 'two', ...axes, panels })
    const shown = linesOf(svg)
    expect(linesOf(svg, '1')).toEqual([...shown, ...shown])
    // 50 evaluations are at one place of both.
    expect(shown[0]?.[1]?.[0]).toBe(shown[1]?.[1]?.[0])
    for (const title of ['left', 'right', 'low']) expect(svg).toContain(`>${title}</text>`)
    // With a highest value the axis ends there, and what is larger lies above the plot, at 30.
    const limited = linesOf(lineChart({ title: 'two', ...axes, panels, highest: 10 }))
    expect(limited[0]?.[0]?.[1]).toBeLessThan(30)
    expect(limited[0]?.[1]?.[1]).toBeGreaterThan(30)
    expect((limited[1]?.[1]?.[1] ?? 0) - (limited[0]?.[1]?.[1] ?? 0)).toBeGreaterThan(
      (shown[1]?.[1]?.[1] ?? 0) - (shown[0]?.[1]?.[1] ?? 0),
    )
  })

  test('grows with its legend, and becomes a picture in which the lines are coloured', async () => {
    const series = Array.from({ length: 40 }, (_, i) => ({
      name: `s${i}`,
      points: [
        [1, i + 1],
        [2, i + 2],
      ] as const,
    }))
    const sharp = await loadSharp()
    const sizeOf = async (count: number, densityOf = 1) => {
      const svg = lineChart({ title: 'many', ...axes, panels: onePanel(series.slice(0, count)) })
      const picture = sharp(await chartPicture(svg, densityOf))
      return picture.raw().toBuffer({ resolveWithObject: true })
    }
    const [{ info: small }, { info: large }, { data, info }] = [await sizeOf(2), await sizeOf(2, 2), await sizeOf(40)]
    expect([large.width, large.height]).toEqual([2 * small.width, 2 * small.height])
    // Two names in a line of 16 pixels.
    expect([info.width, info.height]).toEqual([small.width, small.height + 19 * 16])
    let coloured = 0
    for (let i = 0; i < data.length; i += info.channels) {
      if (
        Math.max(data[i] ?? 0, data[i + 1] ?? 0, data[i + 2] ?? 0) -
          Math.min(data[i] ?? 0, data[i + 1] ?? 0, data[i + 2] ?? 0) >
        80
      )
        coloured++
    }
    expect(coloured).toBeGreaterThan(2000)
  })
})
