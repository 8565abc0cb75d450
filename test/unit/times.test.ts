import { describe, expect, test } from 'vitest'
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { ratioOf } from '../../lib/diffusion/schedule.js'
import { createTimes, timeSamplers } from '../../lib/diffusion/times/list.js'

function timesOf(times: DiffusionOptions['times'], schedule: DiffusionOptions['schedule']) {
  const settings = parseDiffusion({ times, schedule, timeLabel: 'fraction' })
  const made = createSchedule(settings.schedule)
  const sampler = createTimes(settings.times, made)
  /** The times of whole batches, one after another. */
  const draw = (batches: number, slots: number): number[][] =>
    Array.from({ length: batches }, (_, step) =>
      Array.from({ length: slots }, (_, slot) =>
        sampler.timeOf({ seed: 5, step, slot, slots, epoch: step, example: (step * 7919 + slot * 31) % 1000 }),
      ),
    )
  return { schedule: made, sampler, draw }
}

const discrete = { kind: 'linear', steps: 50 } as const
const spread = ['uniform', 'stratified', 'antithetic', 'low-discrepancy'] as const

describe.each(spread)('%s', (kind) => {
  test('draws every time alike (chi-squared over 50 times, 1 in 10,000)', () => {
    const counts = new Array<number>(50).fill(0)
    for (const time of timesOf(kind, discrete).draw(2500, 4).flat()) counts[time] = (counts[time] ?? 0) + 1
    expect(counts).toHaveLength(50)
    expect(counts.reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0)).toBeLessThan(95)
  })

  test('covers continuous time evenly: its mean is the middle within four standard errors', () => {
    const { draw, schedule } = timesOf(kind, 'rectified-flow')
    const all = draw(1000, 5).flat()
    const range = schedule.noisiest - schedule.cleanest
    const mean = all.reduce((sum, time) => sum + time, 0) / all.length
    expect(Math.abs(mean - (schedule.cleanest + schedule.noisiest) / 2)).toBeLessThan(
      (4 * range) / Math.sqrt(12 * 5000),
    )
    expect(Math.min(...all)).toBeGreaterThanOrEqual(schedule.cleanest)
    expect(Math.max(...all)).toBeLessThanOrEqual(schedule.noisiest)
  })
})

test('stratified and low-discrepancy batches have one time in each of N equal parts, also on discrete times', () => {
  for (const kind of ['stratified', 'low-discrepancy'] as const) {
    for (const batch of timesOf(kind, discrete).draw(200, 10)) {
      // Ten parts of five times each; a low-discrepancy batch has its own offset, so its parts are counted from its first time.
      const from = kind === 'stratified' ? 0 : (batch[0] ?? 0)
      const parts = batch.map((time) => Math.floor(((((time - from) % 50) + 50) % 50) / 5))
      expect([...parts].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }
  }
})

test('antithetic times come in pairs whose sum is that of the ends; an odd one stays alone', () => {
  for (const batch of timesOf('antithetic', discrete).draw(20, 7)) {
    for (let slot = 0; slot + 1 < 7; slot += 2) expect((batch[slot] ?? 0) + (batch[slot + 1] ?? 0)).toBe(49)
  }
  const { draw, schedule } = timesOf('antithetic', 'vp-sde')
  const [first = 0, second = 0] = draw(1, 2).flat()
  expect(first + second).toBeCloseTo(schedule.cleanest + schedule.noisiest, 14)
})

test('stratified batches estimate the mean of a smooth loss with a tenth of the variance', () => {
  const varianceOf = (kind: (typeof spread)[number]): number => {
    const means = timesOf(kind, 'rectified-flow')
      .draw(300, 16)
      .map((batch) => batch.reduce((sum, time) => sum + time * time, 0) / batch.length)
    const center = means.reduce((sum, mean) => sum + mean, 0) / means.length
    return means.reduce((sum, mean) => sum + (mean - center) ** 2, 0) / means.length
  }
  expect(varianceOf('stratified')).toBeLessThan(0.1 * varianceOf('uniform'))
  expect(varianceOf('low-discrepancy')).toBeLessThan(0.1 * varianceOf('uniform'))
})

/** Share of the values at which a normal's distribution function is off the most (Kolmogorov). */
function distance(values: number[], mean: number, deviation: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return Math.max(...sorted.map((value, i) => Math.abs((i + 0.5) / sorted.length - cdf((value - mean) / deviation))))
}

/** The normal's distribution function to 1e-7 (Abramowitz and Stegun 1964, 7.1.26, of erf). */
function cdf(z: number): number {
  const t = 1 / (1 + (0.3275911 * Math.abs(z)) / Math.SQRT2)
  const tail =
    0.5 *
    t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) *
    Math.exp((-z * z) / 2)
  return z > 0 ? 1 - tail : tail
}

// 1.95 / sqrt(n): 1 in 1,000.
const critical = 1.95 / Math.sqrt(4000)

test.each([
  ['edm', -1.2, 1.2],
  ['edm', -0.4, 1],
  ['cosine', 0, 1],
] as const)('log-normal on %s: ln(sigma / alpha) is normal', (kind, mean, deviation) => {
  const { draw, schedule } = timesOf({ kind: 'log-normal', mean, deviation }, kind)
  const logs = draw(1000, 4)
    .flat()
    .map((time) => Math.log(ratioOf(schedule.level(time))))
  expect(distance(logs, mean, deviation)).toBeLessThan(critical)
})

test('log-normal on discrete times gives whole ones, those beyond the ends the last', () => {
  const { draw } = timesOf({ kind: 'log-normal', mean: 3, deviation: 4 }, discrete)
  const all = draw(200, 4).flat()
  expect(all.every((time) => Number.isInteger(time))).toBe(true)
  expect([Math.min(...all), Math.max(...all)]).toEqual([0, 49])
})

test('logit-normal: the logit of the share of the range is normal', () => {
  const { draw, schedule } = timesOf({ kind: 'logit-normal', mean: 0.5, deviation: 0.8 }, 'rectified-flow')
  const logits = draw(1000, 4)
    .flat()
    .map((time) => (time - schedule.cleanest) / (schedule.noisiest - schedule.cleanest))
    .map((share) => Math.log(share / (1 - share)))
  expect(distance(logits, 0.5, 0.8)).toBeLessThan(critical)
})

test.each(Object.keys(timeSamplers) as (keyof typeof timeSamplers)[])(
  '%s draws the same for the same update, whatever came before',
  (kind) => {
    const first = timesOf(kind as never, discrete).draw(6, 4)
    const again = timesOf(kind as never, discrete).draw(6, 4)
    expect(again[5]).toEqual(first[5])
    expect(new Set(first.flat()).size).toBeGreaterThan(5)
  },
)
