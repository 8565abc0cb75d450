/** iDDPM's importance sampling of times: its probabilities by the formula, its factors without bias. */
import { describe, expect, test } from 'vitest'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { uniform } from '../../lib/random/philox.js'
import { relativeError } from './closeness.js'
import { flatRows, observation } from './observations.js'

const steps = 20

function processOf(options: object = {}) {
  const process = createProcess(
    parseDiffusion({
      schedule: { kind: 'linear', steps, scaleToSteps: true, betaEnd: 0.01 },
      times: { kind: 'loss-second-moment', history: 3, uniformShare: 0.01, ...options },
    }),
  )
  const [learner] = process.learners
  if (!learner) throw new Error('no learner of times')
  return { ...process, learner }
}

/** Loss number k of a time. */
const lossAt = (time: number, k: number): number => (1 + time) * (0.5 + uniform(1, 'time', k, time))

type Process = ReturnType<typeof processOf>

/** Shows every time its losses from number `first` on. */
function show({ learner }: Process, first: number, count: number, row: object = { weight: 1 }): void {
  for (let k = first; k < first + count; k++) {
    const times = Float64Array.from({ length: steps }, (_, time) => time)
    const rows = flatRows(Array.from(times, () => row))
    learner.observe(observation({ times, losses: times.map((time) => lossAt(time, k)), rows }))
  }
}

/** (1 - share) sqrt(mean L²) / sum + share / T of the three losses from number `first` on. */
function probabilities(first: number, share = 0.01): number[] {
  const moments = Array.from({ length: steps }, (_, time) =>
    Math.sqrt([0, 1, 2].reduce((sum, k) => sum + lossAt(time, first + k) ** 2 / 3, 0)),
  )
  const total = moments.reduce((sum, one) => sum + one, 0)
  return moments.map((one) => ((1 - share) * one) / total + share / steps)
}

function drawn({ objective }: Process, count: number) {
  const draw = objective.draw({
    seed: 9,
    step: 0,
    epochs: new Float64Array(count),
    examples: Float64Array.from({ length: count }, (_, i) => i),
  })
  const counts = new Float64Array(steps)
  for (const time of draw.times) counts[time] = (counts[time] ?? 0) + 1
  return { ...draw, counts }
}

const even = new Array<number>(steps).fill(1 / steps)
const chiSquared = (counts: Float64Array, shares: readonly number[], count: number): number =>
  counts.reduce(
    (sum, found, time) => sum + (found - count * (shares[time] ?? 0)) ** 2 / (count * (shares[time] ?? 0)),
    0,
  )
/** 1 in 10,000 of 19 degrees of freedom. */
const critical = 50

describe('before every time has its history', () => {
  test('times are those of "uniform", and nothing is scaled', () => {
    const process = processOf()
    show(process, 0, 2)
    // All but one are full.
    const times = Float64Array.from({ length: steps - 1 }, (_, time) => time)
    process.learner.observe(observation({ times, losses: new Float64Array(steps - 1).fill(1) }))
    const plain = createProcess(parseDiffusion({ schedule: process.settings.schedule }))
    const { times: chosen, scales, rows, counts } = drawn(process, 5000)
    const wanted = drawn({ ...plain, learner: process.learner }, 5000)
    expect(chosen).toEqual(wanted.times)
    expect(rows).toEqual(wanted.rows)
    expect(new Set(scales)).toEqual(new Set([1]))
    expect(chiSquared(counts, even, 5000)).toBeLessThan(critical)
  })
})

describe('then', () => {
  test('times are drawn by the formula of their last losses, older ones forgotten', () => {
    const process = processOf()
    show(process, 0, 8)
    const wanted = probabilities(5)
    const { counts, times, scales } = drawn(process, 20_000)
    expect(chiSquared(counts, wanted, 20_000)).toBeLessThan(critical)
    expect(chiSquared(counts, even, 20_000)).toBeGreaterThan(1000)
    times.forEach((time, n) => {
      expect(relativeError(scales[n] ?? 0, 1 / (steps * (wanted[time] ?? 0)))).toBeLessThan(1e-12)
    })
  })

  test('the factors undo it: their mean under p is 1, and that of factor · f the even mean of f', () => {
    const process = processOf()
    show(process, 0, 3)
    const p = probabilities(0)
    const factors = new Map<number, number>()
    const { times, scales } = drawn(process, 20_000)
    for (const [n, time] of times.entries()) factors.set(time, scales[n] ?? 0)
    expect(factors.size).toBe(steps)
    const f = (time: number): number => Math.sin(time) + time ** 2
    const exact = p.reduce((sum, one, time) => sum + one * (factors.get(time) ?? 0) * f(time), 0)
    const mean = even.reduce((sum, one, time) => sum + one * f(time), 0)
    expect(relativeError(exact, mean)).toBeLessThan(1e-12)
    const terms = Array.from(times, (time, n) => (scales[n] ?? 0) * f(time))
    const estimate = terms.reduce((sum, one) => sum + one / terms.length, 0)
    const variance = terms.reduce((sum, one) => sum + (one - estimate) ** 2 / terms.length, 0)
    expect(Math.abs(estimate - mean)).toBeLessThan(4 * Math.sqrt(variance / terms.length))
  })

  test('what is remembered is the loss as it counts, the factor taken out: weight · loss + boundWeight · bound', () => {
    const [plain, scaled] = [processOf(), processOf()]
    show(plain, 0, 3)
    for (let k = 0; k < 3; k++) {
      const times = Float64Array.from({ length: steps }, (_, time) => time)
      scaled.learner.observe(
        observation({
          times,
          losses: times.map((time) => lossAt(time, k) / 4),
          bounds: times.map((time) => lossAt(time, k) / 2),
          scales: new Float64Array(steps).fill(7),
          rows: flatRows(Array.from(times, () => ({ weight: 14, boundWeight: 7 }))),
        }),
      )
    }
    const [wanted, found] = [plain, scaled].map(({ learner }) => learner.state['losses'] ?? new Float64Array())
    wanted?.forEach((loss, i) => {
      expect(relativeError(found?.[i] ?? 0, loss)).toBeLessThan(1e-14)
    })
  })

  test('losses that are all 0 leave times even', () => {
    const process = processOf()
    show(process, 0, 3, { weight: 0 })
    expect(new Set(drawn(process, 100).scales)).toEqual(new Set([1]))
  })
})

test('a share of 0.001 and ten losses are the published constants', () => {
  expect(parseDiffusion({ times: 'loss-second-moment' }).times).toEqual({
    kind: 'loss-second-moment',
    history: 10,
    uniformShare: 0.001,
  })
})

test('continuous time has no history by time', () => {
  expect(() =>
    createProcess(parseDiffusion({ times: 'loss-second-moment', schedule: 'vp-sde', timeLabel: 'fraction' })),
  ).toThrow(/The times "loss-second-moment" needs a schedule of discrete times/)
})
