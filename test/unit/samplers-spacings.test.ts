import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { levelsAt, pairs, selectLevels } from '../../lib/sampling/levels.js'
import { parseSpacing, type SpacingOptions, spacingDefinition } from '../../lib/sampling/spacings/list.js'
import { roundHalfToEven } from '../../lib/sampling/spacings/spacing.js'

const schedule = createSchedule(parseDiffusion({}).schedule)
const names = ['uniform', 'leading', 'trailing', 'linspace', 'quadratic'] as const
type Name = (typeof names)[number]

function timesOf(name: Name, total: number, count: number): number[] {
  const own = createSchedule(parseDiffusion({ schedule: { kind: 'linear', steps: total } }).schedule)
  const settings = parseSpacing(name)
  return spacingDefinition(settings)
    .create(settings)(own, count)
    .map(({ time }) => time)
}

describe('published lists of times', () => {
  test.each<[Name, number, number[]]>([
    ['leading', 10, [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]],
    ['leading', 7, [852, 710, 568, 426, 284, 142, 0]],
    ['trailing', 10, [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]],
    ['trailing', 7, [999, 856, 713, 570, 428, 285, 142]],
    ['linspace', 10, [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]],
    ['uniform', 7, [857, 714, 571, 428, 285, 142, 0]],
    ['quadratic', 10, [800, 632, 483, 355, 246, 158, 88, 39, 9, 0]],
  ])('%s, %i of 1000', (name, count, times) => {
    expect(timesOf(name, 1000, count)).toEqual(times)
  })
  test.each<[SpacingOptions, number[]]>([
    [{ kind: 'linspace', dropCleanest: true }, [999, 799, 599, 400, 200]],
    [{ kind: 'leading', dropCleanest: true, offset: 1 }, [831, 665, 499, 333, 167]],
  ])('diffusers lays its multistep solvers out with one more, and drops the cleanest: %j', (spacing, times) => {
    const levels = selectLevels(schedule, { steps: 5, spacing })
    expect(levels.map(({ time }) => time)).toEqual([...times, -1])
  })
  test('its Euler does not round: the ratio lies on a straight line between whole times', () => {
    const levels = selectLevels(schedule, { steps: 5, spacing: { kind: 'linspace', between: 'ratio' } })
    expect(levels.map(({ time }) => time)).toEqual([999, 749.25, 499.5, 249.75, 0, -1])
    const whole = [749, 750].map((time) => schedule.level(time)).map(({ alpha, sigma }) => sigma / alpha)
    const [, { alpha, sigma } = { alpha: 0, sigma: 0 }] = levels
    expect(sigma / alpha).toBeCloseTo(0.75 * (whole[0] ?? 0) + 0.25 * (whole[1] ?? 0), 12)
    expect(alpha * alpha + sigma * sigma).toBeCloseTo(1, 14)
  })
  test('halves are rounded to even, as NumPy does', () => {
    expect([0.5, 1.5, 2.5, 3.5, 2.4, 2.6].map(roundHalfToEven)).toEqual([0, 2, 2, 4, 2, 3])
  })
})

test.each(names)('%s gives as many different times as were asked for, inside the schedule, falling', (name) => {
  const totalAndCount = fc
    .integer({ min: 2, max: 2000 })
    .chain((total) => fc.tuple(fc.constant(total), fc.integer({ min: 2, max: total })))
  fc.assert(
    fc.property(totalAndCount, ([total, count]) => {
      const times = timesOf(name, total, count)
      expect(times.length).toBe(count)
      expect(pairs(times).every(([before, after]) => after < before)).toBe(true)
      expect(times[0]).toBeLessThan(total)
      expect(times.at(-1)).toBeGreaterThanOrEqual(0)
      expect(times.every(Number.isInteger)).toBe(true)
    }),
  )
})

describe('levels of a run', () => {
  test('are all of them, down to the clean one, when nothing is said', () => {
    const levels = selectLevels(schedule)
    expect(levels.map(({ time }) => time)).toEqual(Array.from({ length: 1001 }, (_, i) => 999 - i))
    expect(levels.at(-1)).toEqual({ alpha: 1, sigma: 0, time: -1 })
  })
  test('of a single step start where there is most noise', () => {
    for (const spacing of names)
      expect(selectLevels(schedule, { steps: 1, spacing }).map(({ time }) => time)).toEqual([999, -1])
  })
  test.each([
    [{ steps: 0 }, 'Expected a whole number from 1 to 1000 for `steps` but received 0.'],
    [{ steps: 1001 }, 'has no more times (`schedule.steps` is 1000), and spacing "trailing" visits none twice'],
    [{ spacing: 'cubic' as never }, 'for `spacing` but received "cubic".'],
  ])('%j is refused', (selection, message) => {
    expect(() => selectLevels(schedule, selection)).toThrow(message)
  })
  test('must fall', () => {
    expect(() => levelsAt(schedule, [5, 5])).toThrow('times that get smaller')
    expect(() => levelsAt(schedule, [])).toThrow('at least one time')
  })
})
