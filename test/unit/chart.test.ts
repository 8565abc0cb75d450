import { describe, expect, test } from 'vitest'
import { chartPicture, lineChart } from '../../lib/images/chart.js'
import { loadSharp } from '../../lib/images/load-sharp.js'

/** Points of every line of a chart, in the picture's pixels. */
function linesOf(svg: string): number[][][] {
  return [...svg.matchAll(/<polyline points="([^"]*)"/g)].map(([, points]) =>
    (points ?? '').split(' ').map((point) => point.split(',').map(Number)),
  )
}

const axes = { x: { label: 'evaluations', scale: 'log' }, y: { label: 'error', scale: 'log' } } as const

describe('a line chart', () => {
  test('with logarithmic axes shows a power law as a straight line of its slope', () => {
    const counts = [1, 10, 100, 1000]
    const svg = lineChart({
      title: 'orders',
      ...axes,
      series: [1, 2].map((order) => ({ name: `order ${order}`, points: counts.map((n) => [n, n ** -order]) })),
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
      series: [
        {
          name: 'curve',
          points: [
            [0, 61],
            [2.9, 0],
          ],
        },
      ],
    })
    for (const tick of ['0.5', '2.5', '20', '60']) expect(svg).toContain(`>${tick}</text>`)
  })

  test('leaves out what a logarithm has no place for, and writes any name', () => {
    const svg = lineChart({
      title: 'a & b',
      ...axes,
      series: [
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
      ],
    })
    expect(linesOf(svg)[0]).toHaveLength(2)
    expect(svg).toContain('&lt;dpm++2m&gt;')
    expect(svg).toContain('a &amp; b')
    expect(() => lineChart({ title: '', ...axes, series: [{ name: 'none', points: [[-1, 1]] }] })).toThrow(
      'at least one finite point',
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
    const picture = sharp(await chartPicture(lineChart({ title: 'many', ...axes, series }), 1))
    const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true })
    expect([info.width, info.height]).toEqual([860, 44 + 20 + 15 * 40])
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
