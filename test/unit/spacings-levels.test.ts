import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { ratioOf, type Schedule } from '../../lib/diffusion/schedule.js'
import { pairs, selectLevels } from '../../lib/sampling/levels.js'
import { betaQuantile } from '../../lib/sampling/spacings/beta.js'
import type { SpacingOptions } from '../../lib/sampling/spacings/list.js'
import { relativeError } from './closeness.js'

interface Run {
  readonly schedule: object | string
  readonly spacing: SpacingOptions
  readonly steps: number
  readonly times: readonly number[]
  readonly ratios?: readonly number[]
}
interface Sections {
  readonly total: number
  readonly counts: number[]
  readonly times: readonly number[]
}
const fixture: { readonly runs: readonly Run[]; readonly sections: readonly Sections[] } = JSON.parse(
  readFileSync(new URL('../fixtures/schedules/schedules.json', import.meta.url), 'utf8'),
)

const scheduleOf = (options: unknown): Schedule => createSchedule(parseDiffusion({ schedule: options }).schedule)
const visited = (schedule: unknown, spacing: SpacingOptions, steps?: number) =>
  selectLevels(scheduleOf(schedule), { steps, spacing }).slice(0, -1)

describe("diffusers' runs", () => {
  test.each(fixture.runs)('$spacing with $steps steps on $schedule', ({ schedule, spacing, steps, times, ratios }) => {
    const levels = visited(schedule, spacing, steps)
    expect(levels.length).toBe(times.length)
    levels.forEach((level, i) => {
      // Their sigmas, and the times that they look up in them, are float32.
      expect(Math.abs(level.time - (times[i] ?? 0))).toBeLessThan(ratios ? 2e-3 : 1e-7)
      if (ratios) expect(relativeError(ratioOf(level), ratios[i] ?? 0)).toBeLessThan(2e-5)
    })
  })
  test.each(fixture.sections)("improved DDPM's sections $counts of $total", ({ total, counts, times }) => {
    const levels = visited({ kind: 'linear', steps: total, scaleToSteps: total > 10 }, { kind: 'sections', counts })
    expect(levels.map(({ time }) => time)).toEqual(times)
  })
})

describe('the formulas', () => {
  test("improved DDPM's whole strides", () => {
    const times = (steps: number): number[] => visited('linear', 'stride', steps).map(({ time }) => time)
    expect(times(7)).toEqual([858, 715, 572, 429, 286, 143, 0])
    expect([25, 50, 250].map((steps) => times(steps)[0])).toEqual([960, 980, 996])
  })

  // ln SNR = -2 ln(sigma / alpha).
  test.each(['linear', 'cosine', 'edm', 'vp-sde', 'sub-vp-sde'])('log-snr and exponential are one on %s', (kind) => {
    const [one, other] = (['log-snr', 'exponential'] as const).map((spacing) => visited(kind, spacing, 12))
    one?.forEach((level, i) => {
      const twin = other?.[i]
      expect(relativeError(level.sigma, twin?.sigma ?? 0)).toBeLessThan(1e-13)
      expect(relativeError(level.time, twin?.time ?? 0)).toBeLessThan(1e-10)
    })
    const logs = (one ?? []).map((level) => Math.log(level.alpha / level.sigma))
    const strides = pairs(logs).map(([a, b]) => b - a)
    for (const stride of strides) expect(relativeError(stride, strides[0] ?? 0)).toBeLessThan(1e-10)
  })

  test('karras with rho 1 is even in sigma, and its ends may be narrowed', () => {
    const sigmas = visited('edm', { kind: 'karras', rho: 1, sigmaMin: 2, sigmaMax: 10 }, 5).map(({ sigma }) => sigma)
    expect(sigmas).toEqual([10, 8, 6, 4, 2])
  })

  test("score-SDE's even times end at its epsilon; DPM-Solver's are even in sqrt(t)", () => {
    const even = visited('vp-sde', { kind: 'linspace', end: 1e-3 }, 1000).map(({ time }) => time)
    expect([even[0], even[999]]).toEqual([1, 1e-3])
    for (const [before, after] of pairs(even)) expect(before - after).toBeCloseTo(0.999 / 999, 12)
    const roots = visited('vp-sde', 'quadratic', 11).map(({ time }) => Math.sqrt(time))
    expect([roots[0], roots[10]]).toEqual([1, Math.sqrt(1e-5)])
    for (const [before, after] of pairs(roots)) expect(before - after).toBeCloseTo((1 - Math.sqrt(1e-5)) / 10, 12)
  })

  test('a short schedule by its betas has their abar, and WaveGrad is told its alphas', () => {
    const betas = [1e-4, 1e-3, 1e-2, 5e-2, 2e-1, 5e-1]
    const levels = visited('wavegrad', { kind: 'betas', betas })
    const bar = (last: number): number => betas.slice(0, last + 1).reduce((product, beta) => product * (1 - beta), 1)
    const alphas = betas.map((_, i) => Math.sqrt(bar(i))).reverse()
    levels.forEach(({ alpha, time }, i) => {
      expect(relativeError(alpha, alphas[i] ?? 0)).toBeLessThan(1e-13)
      expect(relativeError(scheduleOf('wavegrad').level(time).alpha, alpha)).toBeLessThan(1e-12)
    })
  })

  test('lists are visited as they are', () => {
    expect(visited('linear', { kind: 'times', times: [900, 400.5, 3] }).map(({ time }) => time)).toEqual([
      900, 400.5, 3,
    ])
    expect(visited('edm', { kind: 'ratios', ratios: [80, 1.5, 0.1] }).map(({ sigma }) => sigma)).toEqual([80, 1.5, 0.1])
  })

  test.each([
    // Beta(1, 1) is even, Beta(2, 1) has x², Beta(1/2, 1/2) is the arcsine law.
    [1, 1, (p: number) => p],
    [2, 1, (p: number) => Math.sqrt(p)],
    [1, 3, (p: number) => -Math.expm1(Math.log1p(-p) / 3)],
    [0.5, 0.5, (p: number) => Math.sin((Math.PI * p) / 2) ** 2],
  ])('quantiles of Beta(%d, %d) are the closed form', (a, b, quantile) => {
    for (const p of [1e-6, 0.01, 0.3, 0.5, 0.77, 0.999]) {
      expect(relativeError(betaQuantile(p, a, b), quantile(p))).toBeLessThan(1e-12)
    }
    expect(betaQuantile(0, a, b)).toBeLessThan(1e-300)
    expect(betaQuantile(1, a, b)).toBe(1)
  })
})

const divided: readonly SpacingOptions[] = ['karras', 'exponential', 'log-snr', 'beta']

describe.each([
  'linear',
  'cosine',
  'scaled-linear',
  'ncsn',
  'vp-sde',
  'sub-vp-sde',
  've-sde',
  'edm',
  'rectified-flow',
  'wavegrad',
])('on %s', (kind) => {
  const schedule = scheduleOf(kind)
  test.each(divided)('%s falls from end to end in levels of the schedule', (spacing) => {
    const levels = visited(kind, spacing, 20)
    expect(levels.length).toBe(20)
    const [first, last] = [levels[0] ?? schedule.clean, levels[19] ?? schedule.clean]
    expect([first.time, last.time]).toEqual([
      expect.closeTo(schedule.noisiest, 9),
      expect.closeTo(schedule.cleanest, 9),
    ])
    expect(ratioOf(first)).toBe(ratioOf(schedule.level(schedule.noisiest)))
    for (const [from, to] of pairs(levels)) {
      expect(to.time).toBeLessThan(from.time)
      expect(relativeError(ratioOf(schedule.level(to.time)), ratioOf(to))).toBeLessThan(1e-9)
    }
  })
  test.each(divided)('a single step of %s starts at the noisiest level', (spacing) => {
    expect(visited(kind, spacing, 1).map(({ time }) => time)).toEqual([expect.closeTo(schedule.noisiest, 9)])
  })
})

describe('refusals name both options', () => {
  const zero = { kind: 'linear', zeroTerminalSnr: true }
  test.each<[unknown, SpacingOptions, number | undefined, string]>([
    [
      zero,
      'karras',
      10,
      'Spacing "karras" divides sigma / alpha, which has no end where alpha is 0, as at the last time with schedule `linear`',
    ],
    [{ kind: 'rectified-flow', noisiest: 1 }, 'log-snr', 10, 'Give a sigmaMax'],
    ['edm', { kind: 'karras', sigmaMax: 100 }, 10, 'beyond the 80 to 0.002 that there is with schedule `edm`'],
    ['edm', { kind: 'exponential', sigmaMin: 5, sigmaMax: 4 }, 10, 'Choose a sigmaMin below sigmaMax'],
    [
      'edm',
      'trailing',
      10,
      'The spacing "trailing" needs a schedule of discrete times, but time is continuous in schedule `edm`',
    ],
    [
      'linear',
      { kind: 'leading', offset: 1 },
      1000,
      'a whole number from 0 to 0, because 1000 of 1000 times are visited',
    ],
    ['linear', 'stride', 499, 'cannot make exactly 499 steps of 1000 times with a whole stride. Use 334 or 500 steps'],
    ['linear', { kind: 'sections', counts: [10, 600] }, undefined, 'at most 500 times in a section of 500'],
    [
      'linear',
      { kind: 'sections', counts: [10, 20] },
      31,
      'Expected 30, the number of levels that spacing "sections" names, for `steps`',
    ],
    ['linear', { kind: 'times', times: [3, 3] }, undefined, 'levels with less and less noise'],
    ['linear', { kind: 'times', times: [1000] }, undefined, 'a time from 0 to 999'],
    [
      'edm',
      { kind: 'ratios', ratios: [81] },
      undefined,
      'sigma / alpha from 0.002 to 80, the ends of schedule "edm", for `spacing ratios` but received 81',
    ],
    ['linear', { kind: 'betas', betas: [0.5, 0.99999999] }, undefined, 'for `spacing betas`'],
    ['linear', 'uniform', 1001, 'Expected a whole number from 1 to 1000 for `steps` but received 1001'],
  ])('%j with %j and %s steps', (schedule, spacing, steps, message) => {
    expect(() => visited(schedule, spacing, steps)).toThrow(message)
  })
  test('a run may stop short of where no signal is left', () => {
    expect(ratioOf(visited(zero, { kind: 'karras', sigmaMax: 50 }, 10)[0] ?? scheduleOf(zero).clean)).toBeCloseTo(
      50,
      10,
    )
  })
})
