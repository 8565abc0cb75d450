/** Closed forms, each held to another way of computing the same. */
import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { Level } from '../../lib/diffusion/schedule.js'
import { type AnalyticData, analyticDenoiser, evenShares } from '../../lib/evaluation/analytic/analytic-data.js'
import { gaussian } from '../../lib/evaluation/analytic/gaussian.js'
import { gaussianMixture } from '../../lib/evaluation/analytic/gaussian-mixture.js'
import { integrateAdaptively } from '../../lib/sampling/adaptive-runge-kutta.js'
import { embeddedTableaus } from '../../lib/sampling/runge-kutta-tableau.js'

const mixture = gaussianMixture([
  { weight: 0.3, mean: -0.7, deviation: 0.3 },
  { weight: 0.7, mean: 0.5, deviation: 0.2 },
])
const all: readonly AnalyticData[] = [gaussian({ mean: 0.4, deviation: 0.6 }), mixture]
const vp = createSchedule(parseDiffusion({ schedule: 'vp-sde', timeLabel: 'fraction' }).schedule)
const levels: readonly Level[] = [0.03, 0.4, 3].map((ratio) => vp.atRatio(ratio))
const points = [-2, -0.7, -0.11, 0, 0.5, 1.9]

/** Simpson's rule. */
function integral(f: (x: number) => number, from = -12, to = 12, steps = 24_000): number {
  const width = (to - from) / steps
  let sum = f(from) + f(to)
  for (let i = 1; i < steps; i++) sum += (i % 2 === 0 ? 2 : 4) * f(from + i * width)
  return (sum * width) / 3
}

describe.each(all.map((data) => [data.name, data] as const))('%s', (_, data) => {
  const density = (x: number, level: Level): number => Math.exp(data.logDensity(x, level))

  test('the density is that of the data, scaled and blurred, and its moments are what they are', () => {
    for (const level of levels) {
      const { mean, deviation } = data.moments(level)
      expect(integral((x) => density(x, level))).toBeCloseTo(1, 10)
      expect(integral((x) => x * density(x, level))).toBeCloseTo(mean, 10)
      expect(integral((x) => (x - mean) ** 2 * density(x, level))).toBeCloseTo(deviation ** 2, 10)
    }
    const { alpha, sigma } = levels[1] ?? vp.clean
    const normal = (z: number): number => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)
    for (const x of points) {
      const blurred = integral((clean) => density(clean, vp.clean) * (normal((x - alpha * clean) / sigma) / sigma))
      expect(density(x, levels[1] ?? vp.clean)).toBeCloseTo(blurred, 10)
    }
  })

  test('the score is the slope of the log density, and says the clean image by Tweedie’s formula', () => {
    for (const level of levels) {
      for (const x of points) {
        const slope = (data.logDensity(x + 1e-5, level) - data.logDensity(x - 1e-5, level)) / 2e-5
        const score = data.score(x, level)
        expect(Math.abs(score - slope)).toBeLessThan(1e-6 * (1 + Math.abs(slope)))
        expect(data.clean(x, level)).toBeCloseTo((x + level.sigma ** 2 * score) / level.alpha, 12)
        const cleanSlope = (data.clean(x + 1e-5, level) - data.clean(x - 1e-5, level)) / 2e-5
        expect(Math.abs(data.cleanSlope(x, level) - cleanSlope)).toBeLessThan(1e-6 * (1 + cleanSlope))
      }
    }
  })

  test('a share of the law lies below its quantile', () => {
    for (const level of [vp.clean, ...levels]) {
      for (const share of [1e-4, 0.1, 0.3, 0.31, 0.5, 0.97]) {
        const below = integral((x) => density(x, level), -14, data.quantile(share, level))
        expect(below).toBeCloseTo(share, 9)
      }
    }
    expect([...evenShares(4)]).toEqual([0.125, 0.375, 0.625, 0.875])
  })

  test('the flow is the solution of its ODE', async () => {
    const [first, last] = [vp.atRatio(5), vp.atRatio(0.05)]
    const starts = [0.05, 0.3, 0.5, 0.9].map((share) => data.quantile(share, first))
    const integration = integrateAdaptively(
      {
        count: starts.length,
        y: Float64Array.from(starts, (x) => x / first.alpha),
        start: Math.log(5),
        end: Math.log(0.05),
        firstStep: 0.01,
        // dy / du = y - clean with y = x / alpha, u = ln(sigma / alpha).
        slope: async (u, y) =>
          y.map((value, n) => {
            const level = vp.atRatio(Math.exp(u[n] ?? 0))
            return value - data.clean(level.alpha * value, level)
          }),
      },
      embeddedTableaus['dormand-prince'],
      { rtol: 1e-11, atol: 1e-11, maxEvaluations: 100_000 },
    )
    let next = await integration.next()
    while (!next.done) next = await integration.next()
    for (const [n, x] of starts.entries()) {
      expect(Math.abs((next.value.y[n] ?? 0) * last.alpha - data.flow(x, first, last))).toBeLessThan(1e-8)
      expect(data.flow(data.flow(x, first, last), last, first)).toBeCloseTo(x, 11)
    }
  })

  test('a likelihood is told the same, with the product of the Jacobian', async () => {
    const denoiser = analyticDenoiser(data, vp)
    const [a = vp.clean, b = vp.clean] = levels
    const { clean, product } = await denoiser.pull(
      Float64Array.of(0.1, 0.2, -0.3, 0.4),
      [a, b],
      Float64Array.of(1, -1, 2, 0),
      [0, 1],
    )
    expect(Array.from(clean)).toEqual([data.clean(0.1, a), data.clean(0.2, a), data.clean(-0.3, b), data.clean(0.4, b)])
    expect(Array.from(product)).toEqual([
      data.cleanSlope(0.1, a),
      -data.cleanSlope(0.2, a),
      2 * data.cleanSlope(-0.3, b),
      0,
    ])
  })
})

test('a mixture of one mode is the Gaussian', () => {
  const [one, other] = [all[0], gaussianMixture([{ weight: 1, mean: 0.4, deviation: 0.6 }])]
  for (const level of levels) {
    for (const x of points) {
      for (const what of ['clean', 'cleanSlope', 'score', 'logDensity'] as const) {
        expect(other[what](x, level)).toBeCloseTo(one?.[what](x, level) ?? Number.NaN, 12)
      }
    }
    expect(other.moments(level).deviation).toBeCloseTo(one?.moments(level).deviation ?? 0, 14)
    expect(other.flow(0.3, level, vp.clean)).toBeCloseTo(one?.flow(0.3, level, vp.clean) ?? Number.NaN, 12)
  }
})

test('far from all modes the denoiser still answers', () => {
  const level = vp.atRatio(0.01)
  expect(mixture.clean(40, level)).toBeGreaterThan(30)
  expect(Number.isFinite(mixture.score(-40, level))).toBe(true)
})
