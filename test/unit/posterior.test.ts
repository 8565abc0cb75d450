import { describe, expect, test } from 'vitest'
import { clippedLogVariance, posterior } from '../../lib/diffusion/posterior.js'
import { type DiscreteSchedule, requireDiscrete } from '../../lib/diffusion/schedule.js'
import { cosine } from '../../lib/diffusion/schedules/cosine.js'
import { linear } from '../../lib/diffusion/schedules/linear.js'
import { relativeError } from './closeness.js'

const schedules: DiscreteSchedule[] = [
  requireDiscrete(linear.create(linear.options.parse({ kind: 'linear' })), 'The test'),
  requireDiscrete(cosine.create(cosine.options.parse({ kind: 'cosine' })), 'The test'),
]

describe.each(schedules)('posterior of $name', (schedule) => {
  test('has the mean and variance of the Gaussian product, at every time and for strides', () => {
    // q(x_s | x_t, x_0) is proportional to q(x_t | x_s) q(x_s | x_0): precisions add up.
    for (const stride of [1, 7, 100]) {
      for (let t = stride; t < schedule.steps; t++) {
        const from = schedule.level(t)
        const to = schedule.level(t - stride)
        const q = posterior(from, to)
        const ratio = from.alpha / to.alpha
        const precision = ratio ** 2 / q.forwardVariance + 1 / to.sigma ** 2
        expect(relativeError(q.variance, 1 / precision)).toBeLessThan(1e-12)
        expect(relativeError(q.meanNoisy, ratio / q.forwardVariance / precision)).toBeLessThan(1e-12)
        expect(relativeError(q.meanClean, to.alpha / to.sigma ** 2 / precision)).toBeLessThan(1e-12)
      }
    }
  })

  test('keeps the marginal: from x_t of alpha_t x_0 + sigma_t noise to the law of x_s', () => {
    for (let t = 3; t < schedule.steps; t += 13) {
      const from = schedule.level(t)
      const to = schedule.level(t - 3)
      const q = posterior(from, to)
      expect(relativeError(q.meanNoisy * from.alpha + q.meanClean, to.alpha)).toBeLessThan(1e-12)
      expect(relativeError(q.meanNoisy ** 2 * from.sigma ** 2 + q.variance, to.sigma ** 2)).toBeLessThan(1e-12)
    }
  })

  test('lands on the clean image without noise', () => {
    expect(posterior(schedule.level(5), schedule.level(-1))).toMatchObject({ meanNoisy: 0, variance: 0 })
    expect(relativeError(posterior(schedule.level(5), schedule.level(-1)).meanClean, 1)).toBeLessThan(1e-15)
  })

  test('has the two published log variances at time 0 and one elsewhere', () => {
    const second = posterior(schedule.level(1), schedule.level(0)).variance
    expect(clippedLogVariance(schedule, 0, 'fixed-small', 'second-step')).toBe(Math.log(second))
    expect(clippedLogVariance(schedule, 0, 'fixed-large', 'second-step')).toBe(Math.log(second))
    expect(clippedLogVariance(schedule, 0, 'fixed-small', 'floor')).toBe(Math.log(1e-20))
    expect(clippedLogVariance(schedule, 0, 'fixed-large', 'floor')).toBe(
      Math.log(posterior(schedule.level(0), schedule.level(-1)).forwardVariance),
    )
    for (const kind of ['fixed-small', 'fixed-large'] as const) {
      expect(clippedLogVariance(schedule, 9, kind, 'floor')).toBe(clippedLogVariance(schedule, 9, kind, 'second-step'))
    }
  })

  test('refuses a step towards more noise', () => {
    expect(() => posterior(schedule.level(5), schedule.level(5))).toThrow('the one from time 5 to time 5 is not')
  })
})

test('linear 1000: log variance at time 1 is -9.8167251 (published)', () => {
  const [schedule] = schedules
  expect(schedule && clippedLogVariance(schedule, 1, 'fixed-small', 'floor')).toBeCloseTo(-9.8167251, 7)
})

test('a level of another law (alpha 1, sigma 1 to 3) gives the same formula', () => {
  const q = posterior({ alpha: 1, sigma: 3, time: 2 }, { alpha: 1, sigma: 1, time: 1 })
  expect(q.forwardVariance).toBe(8)
  expect(q.variance).toBe(8 / 9)
  expect(q.meanNoisy).toBe(1 / 9)
  expect(q.meanClean).toBe(8 / 9)
})
