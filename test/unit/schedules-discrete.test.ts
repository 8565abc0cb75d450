import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { type DiscreteSchedule, ratioOf, requireDiscrete, requireNoise } from '../../lib/diffusion/schedule.js'
import { schedules } from '../../lib/diffusion/schedules/list.js'
import { relativeError } from './closeness.js'

interface Fixture {
  readonly exact: Readonly<Record<string, ExactCase>>
  readonly diffusers: readonly {
    readonly schedule: object
    readonly times: readonly number[]
    readonly alphaBars: readonly number[]
  }[]
}
interface ExactCase {
  readonly schedule: object
  readonly times: readonly number[]
  readonly levels: readonly [number, number][]
  readonly withoutTerminalSignal: readonly [number, number][]
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../fixtures/schedules/schedules.json', import.meta.url), 'utf8'),
)

const any = (options: unknown) => createSchedule(parseDiffusion({ schedule: options }).schedule)
const scheduleOf = (options: unknown): DiscreteSchedule => requireDiscrete(any(options), 'This test')

describe.each(Object.entries(fixture.exact))(
  '%s against arithmetic with 50 digits',
  (_, { schedule, times, ...exact }) => {
    test.each([
      ['as it is', {}, exact.levels],
      ['with no signal at the end', { zeroTerminalSnr: true }, exact.withoutTerminalSignal],
    ] as const)('%s: alpha and sigma to 1e-12', (_name, extra, levels) => {
      const made = scheduleOf({ ...schedule, ...extra })
      let worst = 0
      times.forEach((time, i) => {
        const { alpha, sigma } = made.level(time)
        const [exactAlpha, exactSigma] = levels[i] ?? [Number.NaN, Number.NaN]
        worst = Math.max(worst, relativeError(alpha, exactAlpha), relativeError(sigma, exactSigma))
      })
      expect(worst).toBeLessThan(1e-12)
    })
  },
)

// Single precision: diffusers multiplies 1000 float32 factors, and its own 1 - abar has an absolute error near 1e-7.
test.each(fixture.diffusers)('abar of diffusers for $schedule', ({ schedule, times, alphaBars }) => {
  const made = scheduleOf(schedule)
  times.forEach((time, i) => {
    const theirs = alphaBars[i] ?? Number.NaN
    expect(Math.abs(made.level(time).alpha ** 2 - theirs)).toBeLessThan(2e-6 * theirs + 1e-7)
  })
})

describe('published scalars, to the digits that were printed', () => {
  const alphaBar = (options: object, time: number): number => scheduleOf(options).level(time).alpha ** 2
  const ncsn = scheduleOf('ncsn')
  test.each([
    ['WaveGrad 1000: abar at the end', any('wavegrad').level(1000).alpha ** 2, 0.0066226, 5],
    ['sprites: abar at the end', alphaBar({ kind: 'linear', steps: 501 }, 500), 0.00628876, 6],
    ['NCSNv2: each level over the next', ncsn.level(41).sigma / ncsn.level(42).sigma, 0.96380049, 8],
    ['NCSNv2: step at the noisiest level', 6.2e-6 * (ratioOf(ncsn.level(231)) / ratioOf(ncsn.level(0))) ** 2, 155, 4],
  ])('%s', (_, actual, printed, digits) => {
    expect(relativeError(actual, printed)).toBeLessThan(0.5 * 10 ** (1 - digits))
  })
})

describe('relations between schedules', () => {
  test('score-SDE makes its VP SDE discrete as the scaled linear betas of improved DDPM', () => {
    // beta_i = beta(t) / N of the SDE's rate, so over a step abar differs from exp(-∫ rate) in second order of beta.
    const discrete = scheduleOf({ kind: 'linear', steps: 100_000, scaleToSteps: true })
    const continuous = any('vp-sde')
    for (const time of [0.1, 0.4, 1]) {
      const { alpha } = discrete.level(time * 100_000 - 1)
      expect(relativeError(alpha, continuous.level(time).alpha)).toBeLessThan(1e-3)
    }
  })
  test('NCSN in 1000 steps is the VE SDE at even times', () => {
    const discrete = scheduleOf({ kind: 'ncsn', steps: 1001 })
    const continuous = any('ve-sde')
    for (const step of [1, 500, 1000]) {
      expect(relativeError(discrete.level(step).sigma, continuous.level(step / 1000).sigma)).toBeLessThan(1e-13)
    }
  })
  test('a list of betas is the schedule that has them', () => {
    const listed = scheduleOf({ kind: 'betas', betas: Array.from({ length: 10 }, () => 0.3) })
    const constant = scheduleOf({ kind: 'constant', steps: 10, beta: 0.3 })
    for (let time = -1; time < 10; time++) expect(listed.level(time)).toEqual(constant.level(time))
    expect(relativeError(listed.level(9).alpha ** 2, 0.7 ** 10)).toBeLessThan(1e-14)
  })
  test('WaveGrad has the levels of its betas at whole times, and its alpha is linear between them', () => {
    const betas = scheduleOf({ kind: 'linear', betaStart: 1e-6, betaEnd: 0.01 })
    const wavegrad = any('wavegrad')
    for (const time of [0, 1, 2, 400, 999]) {
      const [low, high] = [betas.level(time - 1), betas.level(time)]
      expect(relativeError(wavegrad.level(time + 1).sigma, high.sigma)).toBeLessThan(1e-14)
      expect(wavegrad.level(time + 0.25).alpha).toBeCloseTo(0.75 * low.alpha + 0.25 * high.alpha, 15)
      const found = wavegrad.atRatio(ratioOf(wavegrad.level(time + 0.25)))
      expect(relativeError(found.time, time + 0.25)).toBeLessThan(1e-9)
    }
  })
})

describe('sampling from noise alone', () => {
  const names = Object.keys(schedules).filter((kind) => kind !== 'betas')
  test.each(names)('%s reaches noise', (kind) => {
    expect(() => requireNoise(any(kind))).not.toThrow()
  })
  test.each([
    [{ kind: 'linear', steps: 501 }],
    [{ kind: 'linear', steps: 200 }],
    [{ kind: 'linear', zeroTerminalSnr: true }],
  ])('%j reaches noise', (options) => {
    expect(() => requireNoise(any(options))).not.toThrow()
  })
  test.each([
    [{ kind: 'linear', steps: 50, betaStart: 1e-6, betaEnd: 0.01 }, 'abar is 0.778, sigma / alpha 0.534'],
    [{ kind: 'linear', steps: 50, betaStart: 1e-4, betaEnd: 0.05 }, 'abar is 0.28, sigma / alpha 1.6'],
    [{ kind: 'ncsn', sigmaMax: 1 }, 'schedule `ncsn` still has signal at time 231: abar is 0.5, sigma / alpha 1'],
  ])('%j does not', (options, message) => {
    expect(() => requireNoise(any(options))).toThrow(message)
  })
  test('nor does a run that begins where the image is plain to see', () => {
    const schedule = scheduleOf('linear')
    expect(() => requireNoise(schedule, schedule.level(100))).toThrow('at time 100')
  })
})

describe('refusals', () => {
  test.each([
    [{ kind: 'betas', betas: [] }, '`schedule.betas`'],
    [{ kind: 'betas', betas: [0.1, 1] }, '`schedule.betas.1`'],
    [
      { kind: 'linear', steps: 1, zeroTerminalSnr: true },
      'at least 2 steps for schedule "linear" with zeroTerminalSnr',
    ],
    [{ kind: 'sigmoid', start: 3, end: -3 }, 'Expected a start below the end'],
    [{ kind: 'ncsn', sigmaMin: 60 }, 'sigmaMin below sigmaMax for schedule "ncsn"'],
  ])('%j', (options, message) => {
    expect(() => any(options)).toThrow(message)
  })
  test('a sigmoid so long that it has no noise left to add', () => {
    expect(() => any({ kind: 'sigmoid', start: -800, end: 3 })).toThrow('schedule `sigmoid`')
  })
})
