import { describe, expect, test } from 'vitest'
import { scheduleFromBetas } from '../../lib/diffusion/discrete-schedule.js'
import { posterior } from '../../lib/diffusion/posterior.js'
import type { Schedule } from '../../lib/diffusion/schedule.js'
import { cosine } from '../../lib/diffusion/schedules/cosine.js'
import { linear } from '../../lib/diffusion/schedules/linear.js'
import { schedules } from '../../lib/diffusion/schedules/list.js'
import { relativeError } from './closeness.js'
import { alphaBars, cosineBetas, divide, fixed, linearBetas, one, squareRoot, toNumber } from './fixed-point.js'

const linearOf = (options: object): Schedule => linear.create(linear.options.parse({ kind: 'linear', ...options }))
const cosineOf = (options: object): Schedule => cosine.create(cosine.options.parse({ kind: 'cosine', ...options }))
const alphaBar = (schedule: Schedule, time: number): number => schedule.level(time).alpha ** 2
const beta = (schedule: Schedule, time: number): number =>
  posterior(schedule.level(time), schedule.level(time - 1)).forwardVariance

describe('published scalars, to the digits that were printed', () => {
  const linear1000 = linearOf({})
  const linear4000 = linearOf({ steps: 4000, scaleToSteps: true })
  const cosine1000 = cosineOf({})
  const cosine4000 = cosineOf({ steps: 4000 })
  test.each([
    ['linear 1000: abar at the end', alphaBar(linear1000, 999), 4.0358298e-5, 8],
    [
      'linear 1000: posterior variance at 1',
      posterior(linear1000.level(1), linear1000.level(0)).variance,
      5.4531877e-5,
      8,
    ],
    ['linear 1000: abar after 500 steps', alphaBar(linear1000, 499), 0.0785872, 6],
    ['linear 4000: abar at the end', alphaBar(linear4000, 3999), 4.2466523e-5, 8],
    ['cosine 1000: first beta', beta(cosine1000, 0), 4.12842e-5, 6],
    ['cosine 1000: last beta but one', beta(cosine1000, 998), 0.75, 5],
    ['cosine 1000: last beta', beta(cosine1000, 999), 0.999, 12],
    ['cosine 1000: abar at the end', alphaBar(cosine1000, 999), 2.4287669e-9, 8],
    ['cosine 1000: abar after half of the steps', alphaBar(cosine1000, 499), 0.493844, 6],
    ['cosine 4000: first beta', beta(cosine4000, 0), 9.866e-6, 4],
    ['cosine 4000: abar at the end', alphaBar(cosine4000, 3999), 1.518e-10, 4],
  ])('%s', (_, actual, printed, digits) => {
    expect(relativeError(actual, printed)).toBeLessThanOrEqual(0.5 * 10 ** (1 - digits) * (1 + 1e-9))
  })
})

describe('levels against arithmetic with 50 decimals', () => {
  const scaled = linearBetas(4000, fixed('1e-4') / 4n, fixed('0.02') / 4n)
  test.each([
    ['linear 1000', linearOf({}), linearBetas(1000)],
    ['linear 4000, scaled', linearOf({ steps: 4000, scaleToSteps: true }), scaled],
    ['linear 500', linearOf({ steps: 500 }), linearBetas(500)],
    ['cosine 1000', cosineOf({}), cosineBetas(1000)],
    ['cosine 50', cosineOf({ steps: 50 }), cosineBetas(50)],
  ])('%s: alpha, sigma and beta to 1e-12 at every time', (_, schedule, betas) => {
    const exact = alphaBars(betas)
    expect(schedule.steps).toBe(betas.length)
    let worst = 0
    exact.forEach((bar, time) => {
      const { alpha, sigma } = schedule.level(time)
      worst = Math.max(
        worst,
        relativeError(alpha, toNumber(squareRoot(bar))),
        relativeError(sigma, toNumber(squareRoot(one - bar))),
        relativeError(beta(schedule, time), toNumber(betas[time] ?? 0n)),
      )
    })
    expect(worst).toBeLessThan(1e-12)
  })

  test('posterior variances of linear 1000 to 1e-12 at every time', () => {
    const schedule = linearOf({})
    const betas = linearBetas(1000)
    const bars = [one, ...alphaBars(betas)]
    betas.forEach((value, time) => {
      const exact = divide(((one - (bars[time] ?? 0n)) * value) / one, one - (bars[time + 1] ?? 0n))
      const { variance } = posterior(schedule.level(time), schedule.level(time - 1))
      expect(relativeError(variance, toNumber(exact))).toBeLessThan(1e-12)
    })
  })
})

describe('every schedule that is made of betas', () => {
  test.each(
    Object.values(schedules).filter(({ schema }) => 'zeroTerminalSnr' in schema.shape && 'steps' in schema.shape),
  )('$name preserves variance, loses signal with every step and starts from the clean image', (definition) => {
    const { schema } = definition
    const schedule = definition.create(schema.parse({ kind: definition.name, steps: 200 }) as never)
    expect(schedule.steps).toBe(200)
    expect(schedule.level(-1)).toEqual({ alpha: 1, sigma: 0, time: -1 })
    for (let time = 0; time < 200; time++) {
      const { alpha, sigma } = schedule.level(time)
      expect(relativeError(alpha ** 2 + sigma ** 2, 1)).toBeLessThan(1e-15)
      expect(alpha).toBeLessThan(schedule.level(time - 1).alpha)
    }
  })

  test.each([200, -2, -0.5, Number.NaN])('has no level at time %s of 200', (time) => {
    expect(() => linearOf({ steps: 200 }).level(time)).toThrow(
      'Expected a time from 0 to 199, or -1 (clean) for `time`',
    )
  })
})

describe('refusals', () => {
  test('a scaled beta of 1 or more names the time, the value and the cure', () => {
    expect(() => linearOf({ steps: 10, scaleToSteps: true })).toThrow(
      'Expected betas above 0 and below 1 for schedule `linear` but beta at time 5 is 1.11556. Use smaller betas or more steps.',
    )
  })
  test('a NaN beta', () => {
    expect(() => scheduleFromBetas('mine', Float64Array.of(0.1, Number.NaN))).toThrow('beta at time 1 is NaN')
  })
  test('an unknown option', () => {
    expect(() => linearOf({ betaEnds: 0.1 })).toThrow('Unknown option `betaEnds`. Did you mean `betaEnd`?')
  })
})
