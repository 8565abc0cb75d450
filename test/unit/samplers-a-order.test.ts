/** How fast the error falls on Gaussian data, whose probability flow is known in closed form. */
import { describe, expect, test } from 'vitest'
import { continuousSchedule } from '../../lib/diffusion/continuous-schedule.js'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { type Family, varianceExploding, variancePreserving } from '../../lib/diffusion/discrete-schedule.js'
import { type Level, ratioOf, type Schedule } from '../../lib/diffusion/schedule.js'
import { pairs } from '../../lib/sampling/levels.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { exactFlow, gaussianNetwork, runAffine, valueAt } from './affine-program.js'
import { contextOf } from './record-context.js'

const data = { mean: 0.4, deviation: 0.6 }

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

/** sigma / alpha from 6 down to 0.2: `spread` says how u from 0 to 1 is a part of the way there in log r, or in r. */
type Grid = (u: number) => number
const evenLogarithms: Grid = (u) => 6 * (0.2 / 6) ** u
const evenRatios: Grid = (u) => 6 + u * (0.2 - 6)
/** First steps of the size of the square of the others: what they lack in order is then of the fourth order. */
const slowStart: Grid = (u) => evenLogarithms(u * u * (1.5 - 0.5 * u))

/**
 * Largest error on the way of the flow to sigma / alpha 0.2; after it comes the step to the clean image, in which all are
 * first-order.
 */
function errorOf(sampler: SamplerOptions, steps: number, grid: Grid, schedule: Schedule): number {
  const levels = Array.from({ length: steps + 1 }, (_, i) => schedule.atRatio(grid(i / steps)))
  const { label, network } = gaussianNetwork(data)
  const context = contextOf(schedule, {}, { levels: [...levels, schedule.clean], label })
  const run = runAffine(recordSampler(parseSampler(sampler), context), network)
  const first = levels[0] ?? schedule.clean
  const start = first.alpha * data.mean + 1.7 * first.sigma
  const errors = levels.slice(1).map((level, i) => {
    const x = run.steps[i]?.x
    return Math.abs((x ? valueAt(x, { x: start }) : Number.NaN) - exactFlow(data, first, level, start)) / level.alpha
  })
  return Math.max(...errors)
}

function ordersOf(sampler: SamplerOptions, counts: readonly number[], grid: Grid, schedule: Schedule): number[] {
  const errors = counts.map((count) => errorOf(sampler, count, grid, schedule))
  return pairs(errors).map(([coarse, fine]) => Math.log2(coarse / fine))
}

const vp = logarithmic(variancePreserving)
const ve = logarithmic(varianceExploding)
/** Karras et al.: time is sigma. */
const edmTime = continuousSchedule({
  name: 'ratio',
  cleanest: 1e-3,
  noisiest: 100,
  at: (time) => ({ alpha: 1, sigma: time }),
  timeAtRatio: (ratio) => ratio,
  family: varianceExploding,
})

describe('half the step, 2^order times less error', () => {
  const cases: readonly (readonly [SamplerOptions, number, Grid, Schedule])[] = [
    ['euler', 1, evenLogarithms, vp],
    ['euler', 1, evenRatios, ve],
    ['heun', 2, evenLogarithms, vp],
    ['heun', 2, evenRatios, ve],
    [{ kind: 'edm' }, 2, evenLogarithms, vp],
    [{ kind: 'edm', order: 1 }, 1, evenLogarithms, ve],
    ['dpm2', 2, evenLogarithms, vp],
    ['dpm2', 2, evenRatios, ve],
    [{ kind: 'euler-ancestral', eta: 0 }, 1, evenLogarithms, vp],
    [{ kind: 'dpm2-ancestral', eta: 0 }, 2, evenLogarithms, vp],
    ...[1, 2, 3, 4].map((order) => [{ kind: 'lms' as const, order }, order, slowStart, vp] as const),
    ...[1, 2, 3].map((order) => [{ kind: 'deis' as const, order }, order, slowStart, vp] as const),
    ...[1, 2, 3].map(
      (order) => [{ kind: 'deis' as const, order, variable: 'time' as const }, order, slowStart, edmTime] as const,
    ),
    ...[1, 2, 3, 4].map((order) => [{ kind: 'ipndm' as const, order }, order, evenRatios, edmTime] as const),
    // What iPNDM and PNDM lose where r is not even in the steps.
    ['ipndm', 2, evenLogarithms, vp],
    [{ kind: 'pndm', start: 'runge-kutta' }, 4, evenRatios, edmTime],
    [{ kind: 'pndm', start: 'runge-kutta' }, 2, evenLogarithms, vp],
    [{ kind: 'pndm', start: 'heun' }, 2, evenLogarithms, vp],
  ]
  test.each(cases.map((row) => [JSON.stringify(row[0]), row[1], row] as const))('%s: order %d', (_, __, row) => {
    const [sampler, order, grid, schedule] = row
    for (const measured of ordersOf(sampler, [40, 80, 160], grid, schedule)) {
      expect(measured).toBeGreaterThan(order - 0.3)
      expect(measured).toBeLessThan(order + 0.3)
    }
  })
})

describe('a noise that is a polynomial of its variable is integrated without error', () => {
  /** Increments of y over the steps after the first `skip`, against the integral from r to r' of p. */
  function errorsOf(
    sampler: SamplerOptions,
    polynomial: { readonly of: (level: Level) => number; readonly integral: (ratio: number) => number },
    { schedule, grid, skip }: { readonly schedule: Schedule; readonly grid: Grid; readonly skip: number },
  ): number {
    const levels = Array.from({ length: 13 }, (_, i) => schedule.atRatio(grid(i / 12)))
    const asked: Level[] = []
    const context = contextOf(
      schedule,
      {},
      { levels: [...levels, schedule.clean], label: (level) => asked.push(level) - 1 },
    )
    const { steps } = runAffine(recordSampler(parseSampler(sampler), context), (cNoise) => {
      const level = asked[cNoise] ?? schedule.clean
      return { gain: 1 / level.alpha, offset: -ratioOf(level) * polynomial.of(level) }
    })
    const y = levels.map(({ alpha }, i) => {
      const x = steps[i - 1]?.x
      return (x ? valueAt(x, { x: 1 }) : 1) / alpha
    })
    return Math.max(
      ...pairs(levels)
        .map(([from, to], i) => {
          const exact = polynomial.integral(ratioOf(to)) - polynomial.integral(ratioOf(from))
          return Math.abs((y[i + 1] ?? 0) - (y[i] ?? 0) - exact)
        })
        .slice(skip),
    )
  }

  const power = (degree: number) => ({
    of: (level: Level) => ratioOf(level) ** degree,
    integral: (r: number) => r ** (degree + 1) / (degree + 1),
  })
  /** log(r)^degree, whose integral follows by parts. */
  const logPower = (degree: number) => ({
    of: (level: Level) => Math.log(ratioOf(level)) ** degree,
    integral: function integral(r: number, k = degree): number {
      return k === 0 ? r : r * Math.log(r) ** k - k * integral(r, k - 1)
    },
  })

  test.each([1, 2, 3, 4])('lms %d', (order) => {
    const run = { schedule: vp, grid: evenLogarithms, skip: order - 1 }
    expect(errorsOf({ kind: 'lms', order }, power(order - 1), run)).toBeLessThan(1e-11)
    expect(errorsOf({ kind: 'lms', order }, power(order), run)).toBeGreaterThan(1e-3)
  })

  test.each([1, 2, 3, 4])('ipndm %d, where r is even', (order) => {
    const run = { schedule: vp, grid: evenRatios, skip: order - 1 }
    expect(errorsOf({ kind: 'ipndm', order }, power(order - 1), run)).toBeLessThan(1e-11)
    expect(errorsOf({ kind: 'ipndm', order }, power(order), run)).toBeGreaterThan(1e-3)
  })

  test.each(['log-ratio', 'time'] as const)('deis in %s (here time is log r)', (variable) => {
    for (const order of [1, 2, 3]) {
      const run = { schedule: vp, grid: evenLogarithms, skip: order - 1 }
      expect(errorsOf({ kind: 'deis', order, variable }, logPower(order - 1), run)).toBeLessThan(1e-11)
      expect(errorsOf({ kind: 'deis', order, variable }, logPower(order), run)).toBeGreaterThan(1e-3)
    }
  })

  test('deis in time, between the whole times of a discrete schedule too', () => {
    const schedule = createSchedule(parseDiffusion({ schedule: { kind: 'linear', steps: 1000 } }).schedule)
    // time², whose integral over r is a sum over pieces on which log r is linear in time: by parts, twice.
    const ratioAt = (time: number): number => ratioOf(schedule.level(time))
    const integral = (ratio: number): number => {
      const end = schedule.atRatio(ratio).time
      let sum = 0
      for (let time = 0; time < end; time++) {
        const high = Math.min(time + 1, end)
        const [from, to] = [ratioAt(time), high === end ? ratio : ratioAt(high)]
        const slope = (high - time) / Math.log(to / from)
        const at = (t: number, r: number): number => r * (t * t - 2 * slope * t + 2 * slope * slope)
        sum += at(high, to) - at(time, from)
      }
      return sum
    }
    const run = { schedule, grid: evenLogarithms, skip: 2 }
    const polynomial = {
      of: ({ time }: Level) => (time * time) / 1e6,
      integral: (ratio: number) => integral(ratio) / 1e6,
    }
    expect(errorsOf({ kind: 'deis', order: 3, variable: 'time' }, polynomial, run)).toBeLessThan(1e-9)
    expect(errorsOf({ kind: 'deis', order: 3 }, polynomial, run)).toBeGreaterThan(1e-4)
  })

  test('pndm, where r is even: its Runge–Kutta start is exact for cubics too', () => {
    const run = { schedule: edmTime, grid: evenRatios, skip: 0 }
    expect(errorsOf('pndm', power(3), run)).toBeLessThan(1e-10)
    expect(errorsOf({ kind: 'pndm', start: 'heun' }, power(1), run)).toBeLessThan(1e-11)
  })
})
