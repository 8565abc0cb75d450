import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { ratioOf, type Schedule } from '../../lib/diffusion/schedule.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { relativeError } from './closeness.js'

const scheduleOf = (options: object | string): Schedule =>
  createSchedule(parseDiffusion({ schedule: options }).schedule)

const kinds = ['vp-sde', 'sub-vp-sde', 've-sde', 'edm', 'rectified-flow'] as const

describe('published scalars, to the digits that were printed', () => {
  const vp = scheduleOf('vp-sde')
  test.each([
    [1, 152.167, 6],
    [1e-3, 0.010486, 5],
    [1e-5, 0.0010005, 5],
  ])('sigma / alpha of the VP SDE at %d is %d', (time, printed, digits) => {
    expect(relativeError(ratioOf(vp.level(time)), printed)).toBeLessThan(0.5 * 10 ** (1 - digits))
  })

  const printed = [
    80, 57.586, 40.7856, 28.3746, 19.3525, 12.9101, 8.40094, 5.31519, 3.25682, 1.92334, 1.08817, 0.585348, 0.296442,
    0.139516, 0.0599473, 0.0229345, 0.00752802, 0.002,
  ]
  test('the 18 levels of EDM, then the clean one', () => {
    const sigmas = selectLevels(scheduleOf('edm'), { steps: 18, spacing: 'karras' }).map(({ sigma }) => sigma)
    expect(sigmas.length).toBe(19)
    expect(sigmas.at(-1)).toBe(0)
    expect([sigmas[0], sigmas[17]]).toEqual([80, 0.002])
    printed.forEach((value, i) => {
      expect(relativeError(sigmas[i] ?? 0, value)).toBeLessThan(5e-6)
    })
  })
})

describe.each(kinds)('%s', (kind) => {
  const schedule = scheduleOf(kind)
  const times = Array.from(
    { length: 41 },
    (_, i) => schedule.cleanest * (schedule.noisiest / schedule.cleanest) ** Math.min(1, i / 40),
  ).map((time) => Math.min(time, schedule.noisiest))

  test('has noise that grows with time, and the time of a ratio is found again', () => {
    let before = 0
    for (const time of times) {
      const level = schedule.level(time)
      const ratio = ratioOf(level)
      expect(ratio).toBeGreaterThan(before)
      before = ratio
      const found = schedule.atRatio(ratio)
      expect(relativeError(found.alpha, level.alpha)).toBeLessThan(1e-12)
      expect(relativeError(found.sigma, level.sigma)).toBeLessThan(1e-12)
      // Near time 0 of the VE SDE a change of time moves sigma little: the time is found to an absolute error.
      expect(Math.abs(found.time - time) / (kind === 've-sde' ? 1 : time)).toBeLessThan(1e-12)
    }
  })

  test('ends at the clean image, and has no other time outside of its range', () => {
    expect(schedule.clean).toEqual({ alpha: 1, sigma: 0, time: 0 })
    expect(schedule.level(0)).toBe(schedule.clean)
    expect(schedule.steps).toBeUndefined()
    for (const time of [-1, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => schedule.level(time)).toThrow('`time`')
  })
})

/** d ln x / dt by Richardson's central difference: what the SDE's drift and diffusion must equal. */
function slope(of: (time: number) => number, time: number, width = 1e-3): number {
  const central = (h: number): number => (of(time + h) - of(time - h)) / (2 * h)
  return (4 * central(width / 2) - central(width)) / 3
}

describe('levels solve the SDE that they are named after', () => {
  // For dx = f x dt + g dw the moments obey (ln alpha)' = f and (sigma²)' = 2 f sigma² + g².
  const rate = (time: number): number => 0.1 + 19.9 * time
  const lost = (time: number): number => 1 - Math.exp(-2 * (0.1 * time + (19.9 * time * time) / 2))
  test.each<[string, (t: number) => number, (t: number) => number]>([
    ['vp-sde', (t) => -rate(t) / 2, rate],
    ['sub-vp-sde', (t) => -rate(t) / 2, (t) => rate(t) * lost(t)],
    ['ve-sde', () => 0, (t) => 2 * Math.log(5000) * (0.01 * 5000 ** t) ** 2],
    ['rectified-flow', (t) => -1 / (1 - t), (t) => (2 * t) / (1 - t)],
  ])('%s', (kind, drift, diffusion) => {
    const schedule = scheduleOf(kind)
    for (const time of [0.1, 0.3, 0.5, 0.8]) {
      const { sigma } = schedule.level(time)
      expect(slope((t) => Math.log(schedule.level(t).alpha), time)).toBeCloseTo(drift(time), 6)
      const variance = slope((t) => schedule.level(t).sigma ** 2, time)
      expect(relativeError(variance, 2 * drift(time) * sigma ** 2 + diffusion(time))).toBeLessThan(1e-6)
    }
  })
})

describe('ends and refusals', () => {
  test('EDM knows noise beyond its ends, because training draws it', () => {
    expect(scheduleOf('edm').level(100)).toEqual({ alpha: 1, sigma: 100, time: 100 })
    expect(scheduleOf('edm').atRatio(1e-4)).toEqual({ alpha: 1, sigma: 1e-4, time: 1e-4 })
    expect(() => scheduleOf('vp-sde').level(1e-6)).toThrow('Expected a time from 0.00001 to 1, or 0 (clean)')
  })
  test('rectified flow may reach pure noise', () => {
    expect(scheduleOf({ kind: 'rectified-flow', noisiest: 1 }).level(1)).toEqual({ alpha: 0, sigma: 1, time: 1 })
  })
  test.each([
    [{ kind: 'edm', sigmaMin: 3, sigmaMax: 2 }, 'sigmaMin below sigmaMax for schedule "edm"'],
    [{ kind: 've-sde', sigmaMin: 50 }, 'so a number below 50, for `sigmaMin` but received 50'],
    [{ kind: 'rectified-flow', cleanest: 0.9, noisiest: 0.5 }, 'cleanest time is 0.9 and its noisiest is 0.5'],
    [{ kind: 'vp-sde', epsilon: 1 }, 'Unknown option `schedule.epsilon`'],
  ])('%j is refused', (options, message) => {
    expect(() => scheduleOf(options)).toThrow(message)
  })
})
