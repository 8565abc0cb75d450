/**
 * How fast the error of the Runge–Kutta methods falls. The data are a mixture: on a single Gaussian the flow is a hyperbola, on
 * which some methods are better than their order.
 */
import { describe, expect, test } from 'vitest'
import { continuousSchedule } from '../../lib/diffusion/continuous-schedule.js'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { type Family, varianceExploding, variancePreserving } from '../../lib/diffusion/discrete-schedule.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { defineTableau, type TableauName, tableauNames, tableaus } from '../../lib/sampling/runge-kutta-tableau.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { mixtureNetwork, runMixture } from './mixture.js'
import { contextOf } from './record-context.js'

/** Where x ends that has the place `start` in units of sigma at the first level. */
async function endOf(
  sampler: SamplerOptions,
  schedule: Schedule,
  levels: readonly Level[],
  start = 0.4,
): Promise<number> {
  const mixture = mixtureNetwork()
  const program = recordSampler(parseSampler(sampler), contextOf(schedule, {}, { levels, label: mixture.label }))
  const [output = Number.NaN] = await runMixture(program, mixture, [start * (levels[0]?.sigma ?? 0)])
  return output
}

async function orderOf(error: (steps: number) => Promise<number>, steps: number): Promise<number> {
  return Math.log2((await error(steps)) / (await error(2 * steps)))
}

/** sigma / alpha is exp(time). */
function logarithmic(family: Family): Schedule {
  return continuousSchedule({
    name: 'logarithmic',
    cleanest: -20,
    noisiest: 5,
    cleanTime: -1000,
    at: (time) => family.fromRatio(Math.exp(time)),
    timeAtRatio: Math.log,
    family,
  })
}

const evenLogarithms = (share: number): number => 3 * (0.2 / 3) ** share
const evenRatios = (share: number): number => 3 + share * (0.2 - 3)

const orders = {
  euler: 1,
  midpoint: 2,
  heun: 2,
  ralston: 2,
  rk3: 3,
  rk4: 4,
  'three-eighths': 4,
} as const satisfies Record<TableauName, number>

describe.each([
  ['variance preserved', logarithmic(variancePreserving)],
  ['variance exploding', logarithmic(varianceExploding)],
] as const)('on the probability flow, %s', (_, schedule) => {
  // The run ends with denoising at sigma / alpha 0.2: a smooth function of where the flow has led.
  const levelsOf = (steps: number, ratio: (share: number) => number): Level[] => [
    ...Array.from({ length: steps + 1 }, (_, i) => schedule.atRatio(ratio(i / steps))),
    schedule.clean,
  ]
  const exact = endOf('rk4', schedule, levelsOf(2000, evenLogarithms))

  test.each(tableauNames)('%s has its order in ln(sigma / alpha) and in sigma / alpha', async (method) => {
    expect(tableaus[method].order).toBe(orders[method])
    for (const [variable, grid] of [
      ['log-ratio', evenLogarithms],
      ['ratio', evenRatios],
    ] as const) {
      const sampler = { kind: 'runge-kutta', method, variable } as const
      const error = async (steps: number) =>
        Math.abs((await endOf(sampler, schedule, levelsOf(steps, grid))) - (await exact))
      const order = await orderOf(error, 160)
      expect(order, variable).toBeGreaterThan(orders[method] - 0.15)
      expect(order, variable).toBeLessThan(orders[method] + 0.3)
    }
  })

  test('rk4 is runge-kutta with that table', async () => {
    const [a, b] = await Promise.all(
      (['rk4', 'runge-kutta'] as const).map((kind) => endOf(kind, schedule, levelsOf(9, evenLogarithms))),
    )
    expect(a).toBe(b)
  })
})

describe('on straight paths', () => {
  const schedule = createSchedule(
    parseDiffusion({ schedule: { kind: 'rectified-flow', cleanest: 1e-4, noisiest: 1 } }).schedule,
  )
  const times = (steps: number, from: number, to: number): Level[] =>
    Array.from({ length: steps + 1 }, (_, i) => schedule.level(from + (i / steps) * (to - from)))
  const inside = (steps: number): Level[] => [...times(steps, 0.9, 0.15), schedule.clean]
  const whole = (steps: number): Level[] => [...times(steps - 1, 1, 1 / steps), schedule.clean]
  test.each([
    ['flow-euler', 1],
    ['flow-midpoint', 2],
    ['flow-heun', 2],
  ] as const)('%s has order %d', async (kind, order) => {
    const exact = await endOf('rk4', schedule, inside(2000))
    const error = async (steps: number) => Math.abs((await endOf(kind, schedule, inside(steps))) - exact)
    expect(Math.abs((await orderOf(error, 80)) - order)).toBeLessThan(0.15)
  })

  test.each([
    ['flow-euler', 1],
    ['flow-midpoint', 2],
    ['flow-heun', 2],
  ] as const)('%s keeps order %d from pure noise into the image', async (kind, order) => {
    const finest = await endOf('flow-midpoint', schedule, whole(4000))
    const error = async (steps: number) => Math.abs((await endOf(kind, schedule, whole(steps))) - finest)
    expect(Math.abs((await orderOf(error, 160)) - order)).toBeLessThan(0.15)
  })

  test('flow-euler is DDIM: both follow the line through x and the clean image', async () => {
    const levels = [...times(7, 1, 0.1), schedule.clean]
    expect(await endOf('flow-euler', schedule, levels)).toBeCloseTo(await endOf('ddim', schedule, levels), 14)
  })

  test('schedules whose paths bend are refused', () => {
    const linear = createSchedule(parseDiffusion({}).schedule)
    expect(() => recordSampler(parseSampler('flow-heun'), contextOf(linear, { steps: 5 }))).toThrow(
      /flow-heun.*straight paths.*linear.*rectified-flow.*runge-kutta/,
    )
  })

  test('where no signal is left, the other variables begin with one step of denoising', async () => {
    const finest = await endOf('flow-midpoint', schedule, whole(2000))
    for (const variable of ['log-ratio', 'ratio'] as const) {
      const end = await endOf({ kind: 'rk4', variable }, schedule, whole(200))
      expect(Math.abs(end - finest)).toBeLessThan(1e-3)
    }
  })
})

describe('a table that is wrong', () => {
  const rk4 = tableaus.rk4
  const slip = [[], [1 / 3], [-1 / 3, 1], [1, 1, -1]]
  test.each([
    ['rows that are not their nodes', { ...rk4, nodes: [0, 1 / 2, 1 / 3, 1] }, 'row 2'],
    ['weights of another order', { ...rk4, weights: [1 / 4, 1 / 4, 1 / 4, 1 / 4] }, 'less than 4'],
    ['an order it does not have', { ...rk4, order: 5 }, 'less than 5'],
    ['a coefficient with a slip', { ...tableaus['three-eighths'], stages: slip }, 'less than 4'],
  ])('is found out by %s', (_, table, message) => {
    expect(() => defineTableau('wrong', table)).toThrow(message)
  })
})
