/** VDM's schedule: a monotone network whose gradients are those of float64 losses, and a bound that does not see its shape. */
import { describe, expect, test } from 'vitest'
import { createProcess, type DiffusionProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { Observation } from '../../lib/diffusion/learned/learner.js'
import { MonotoneNetwork } from '../../lib/diffusion/learned/monotone-network.js'
import { ScheduleLearner } from '../../lib/diffusion/learned/schedule-learner.js'
import { snrSlope } from '../../lib/diffusion/snr-slope.js'
import { type Row, rowFields } from '../../lib/native/binding.js'
import { normals } from '../../lib/random/philox.js'
import { relativeError } from './closeness.js'
import { flatRows, observation } from './observations.js'

const vdm = { weighting: 'vlb', timeLabel: 'log-snr', times: 'low-discrepancy' } as const

function processOf(schedule: object = {}, prediction: 'noise' | 'noise-residual' | 'velocity' = 'noise') {
  const process = createProcess(parseDiffusion({ ...vdm, prediction, schedule: { kind: 'learned', ...schedule } }))
  return { ...process, learner: learnerOf(process) }
}

function learnerOf({ learners }: DiffusionProcess): ScheduleLearner {
  const [learner] = learners
  if (!(learner instanceof ScheduleLearner)) throw new Error('no learner of a schedule')
  return learner
}

/** Moves every parameter, some weights below 0. */
function disturb(learner: ScheduleLearner, seed: number): void {
  for (const [name, values] of Object.entries(learner.state)) {
    if (name.includes('.') || name === 'updates') continue
    const spread = name === 'ends' ? 0.3 : name === 'heights' ? 1.5 : 0.5 * Math.abs(values[0] ?? 1)
    normals(seed, 'weights', name.length, 0, values.length).forEach((normal, i) => {
      values[i] = (values[i] ?? 0) + spread * normal
    })
  }
  learner.restored()
}

const places = Array.from({ length: 101 }, (_, i) => i / 100)

describe('the monotone network', () => {
  test('rises from 0 to 1 whatever its parameters, and its slope is that of its values', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const network = new MonotoneNetwork(16)
      for (const values of Object.values(network.parameters)) {
        values.set(normals(seed, 'weights', values.length, 0, values.length).map((normal) => 4 * normal))
      }
      network.changed()
      expect(network.at(0).value).toBe(0)
      expect(network.at(1).value).toBe(1)
      for (const place of places.slice(1)) {
        expect(network.at(place).value).toBeGreaterThan(network.at(place - 0.01).value)
        const h = 1e-5
        const slope = (network.at(place + h).value - network.at(place - h).value) / (2 * h)
        expect(Math.abs(network.at(place).slope - slope)).toBeLessThan(1e-7 * (1 + slope))
      }
    }
  })

  test('begins almost straight', () => {
    const network = new MonotoneNetwork(1024)
    for (const place of places) expect(Math.abs(network.at(place).value - place)).toBeLessThan(1e-3)
  })
})

describe('levels', () => {
  const { schedule, learner } = processOf({ gammaMin: -8, gammaMax: 4, units: 32 })
  disturb(learner, 7)

  test('have sigma² = sigmoid(gamma) and preserve variance', () => {
    for (const time of [1e-5, 0.3, 1]) {
      const { alpha, sigma } = schedule.level(time)
      const gamma = learner.at(time).value
      expect(relativeError(sigma ** 2, 1 / (1 + Math.exp(-gamma)))).toBeLessThan(1e-13)
      expect(relativeError(alpha ** 2, 1 / (1 + Math.exp(gamma)))).toBeLessThan(1e-13)
    }
    expect(schedule.clean).toMatchObject({ alpha: 1, sigma: 0, time: 0 })
  })

  test('say their own slope, which is that of neighbouring levels', () => {
    for (const time of [1e-5, 0.01, 0.5, 1]) {
      const level = schedule.level(time)
      const { logSnrSlope: _, ...plain } = level
      expect(relativeError(snrSlope(schedule, level), snrSlope(schedule, plain))).toBeLessThan(1e-6)
    }
  })

  test('are found by their ratio', () => {
    for (const time of [0.02, 0.4, 0.99]) {
      const { alpha, sigma } = schedule.level(time)
      expect(Math.abs(schedule.atRatio(sigma / alpha).time - time)).toBeLessThan(1e-12)
    }
    expect(schedule.atRatio(1e-6).time).toBe(1e-5)
    expect(schedule.atRatio(1e6).time).toBe(1)
  })

  test('straight ones are linear in ln snr, and with fixed ends nothing is learned', () => {
    const fixed = createProcess(
      parseDiffusion({ ...vdm, schedule: { kind: 'learned', shape: 'straight', ends: 'fixed' } }),
    )
    expect(fixed.learners).toEqual([])
    const { alpha, sigma } = fixed.schedule.level((1 + 1e-5) / 2)
    expect(2 * Math.log(sigma / alpha)).toBeCloseTo((5 - 13.3) / 2, 12)
  })
})

test('gammaMin must be below gammaMax', () => {
  expect(() => processOf({ gammaMin: 5, gammaMax: 5 })).toThrow(/gammaMin below gammaMax/)
})

/** A denoiser of two numbers per image, smooth in its input and its label, and its derivatives by both. */
const network = {
  value: (x: number, label: number) => 0.7 * x + 0.3 * Math.sin(x + label / 300) + 0.2 * Math.cos(label / 400),
  byInput: (x: number, label: number) => 0.7 + 0.3 * Math.cos(x + label / 300),
  byLabel: (x: number, label: number) => (0.3 * Math.cos(x + label / 300)) / 300 - (0.2 * Math.sin(label / 400)) / 400,
}
const elements = 2
const times = Float64Array.of(1e-5, 0.11, 0.5, 0.83, 1)
const images = Uint8Array.of(0, 255, 12, 200, 128, 129, 255, 255, 40, 3)
const noise = normals(3, 'training', 0, 0, images.length)
const shares = new Float64Array(256)
for (const value of images) shares[value] = (shares[value] ?? 0) + 1 / images.length

/** What the training step reports of this batch. */
function update({ objective }: DiffusionProcess): Observation {
  const rows = Array.from(times, (time) => objective.row(time))
  const losses = new Float64Array(times.length)
  const gradients = rows.map((row, n): Partial<Row> => {
    const sums = { alpha: 0, sigma: 0, cIn: 0, cNoise: 0, targetClean: 0, targetNoise: 0, weight: 0 }
    for (let i = n * elements; i < (n + 1) * elements; i++) {
      const clean = (images[i] ?? 0) / 127.5 - 1
      const error = noise[i] ?? 0
      const mixed = row.alpha * clean + row.sigma * error
      const off = network.value(row.cIn * mixed, row.cNoise) - row.targetClean * clean - row.targetNoise * error
      losses[n] = (losses[n] ?? 0) + off ** 2 / elements
      const share = (row.weight * 2 * off) / elements / times.length
      const byInput = share * network.byInput(row.cIn * mixed, row.cNoise)
      sums.alpha += byInput * row.cIn * clean
      sums.sigma += byInput * row.cIn * error
      sums.cIn += byInput * mixed
      sums.cNoise += share * network.byLabel(row.cIn * mixed, row.cNoise)
      sums.targetClean -= share * clean
      sums.targetNoise -= share * error
    }
    return { ...sums, weight: (losses[n] ?? 0) / times.length }
  })
  return observation({
    times,
    losses,
    rows: flatRows(rows),
    rowGradients: flatRows(gradients),
    rowOf: objective.rowOf,
    values: () => shares,
  })
}

const weightColumn = rowFields.indexOf('weight')

/** Examples' losses as the objective weighs them. */
const weighted = ({ rows, losses }: Observation): number[] =>
  Array.from(losses, (loss, n) => loss * (rows[n * rowFields.length + weightColumn] ?? 0))
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

describe.each(['noise', 'noise-residual', 'velocity'] as const)('gradients where %s is predicted', (prediction) => {
  const process = processOf({ gammaMin: -6, gammaMax: 3, units: 5 }, prediction)
  const { learner } = process
  disturb(learner, 11)
  const exact = learner.gradients(update(process))

  test('of the ends are those of the whole bound, of the network those of the mean squared loss', () => {
    expect(Object.keys(exact).sort()).toEqual(['ends', 'heights', 'line', 'offsets', 'slopes'])
    for (const [name, gradient] of Object.entries(exact)) {
      const values = learner.state[name] ?? new Float64Array()
      const lossAt = (i: number, step: number): number => {
        const before = values[i] ?? 0
        values[i] = before + step
        learner.restored()
        const seen = update(process)
        values[i] = before
        learner.restored()
        if (name !== 'ends') return mean(weighted(seen).map((loss) => loss ** 2))
        values[i] = before + step
        const added = learner.lossOf(seen)
        values[i] = before
        return mean(weighted(seen)) + added
      }
      const size = Math.max(...gradient.map(Math.abs))
      expect(size).toBeGreaterThan(1e-6)
      gradient.forEach((slope, i) => {
        const h = 1e-3
        const wanted = (lossAt(i, -2 * h) - 8 * lossAt(i, -h) + 8 * lossAt(i, h) - lossAt(i, 2 * h)) / (12 * h)
        expect(Math.abs(slope - wanted), `${name} ${i}: ${wanted}`).toBeLessThan(1e-6 * size)
      })
    }
  })
})

/** Gaussian data of this deviation, its exact denoiser: the expected squared error of the noise, and its slope in gamma. */
const deviation = 0.5
const errorAt = (gamma: number): number => 1 / (1 + Math.exp(gamma) / deviation ** 2)
const errorSlope = (gamma: number): number => -errorAt(gamma) * (1 - errorAt(gamma))

/** The exact denoiser's expected losses at evenly spread times; they depend on rows through alpha alone. */
function gaussianUpdate(process: DiffusionProcess & { learner: ScheduleLearner }, count: number): Observation {
  const { schedule, objective, learner } = process
  const even = Float64Array.from(
    { length: count },
    (_, i) => schedule.cleanest + ((i + 0.5) / count) * (1 - schedule.cleanest),
  )
  const rows = Array.from(even, (time) => objective.row(time))
  const gammas = Array.from(even, (time) => learner.at(time).value)
  const losses = Float64Array.from(gammas, errorAt)
  const gradients = rows.map(({ alpha, sigma, weight }, n) => ({
    // d alpha / d gamma = -½ alpha sigma².
    alpha: (weight * errorSlope(gammas[n] ?? 0)) / (-0.5 * alpha * sigma ** 2) / count,
    weight: (losses[n] ?? 0) / count,
  }))
  return observation({
    times: even,
    losses,
    rows: flatRows(rows),
    rowGradients: flatRows(gradients),
    rowOf: objective.rowOf,
    values: () => shares,
    learningRate: 0.03,
  })
}

const ends = { gammaMin: -5, gammaMax: 3, ends: 'fixed', units: 64 } as const
/** ∫ ½ error d gamma. */
const closedForm =
  0.5 * (Math.log1p(deviation ** 2 * Math.exp(-ends.gammaMin)) - Math.log1p(deviation ** 2 * Math.exp(-ends.gammaMax)))

test('the continuous-time bound does not depend on the shape of the schedule, the variance of its estimate does', () => {
  const spreads = [0, 1, 2, 3].map((seed) => {
    const process = processOf(ends)
    if (seed > 0) disturb(process.learner, seed)
    const losses = weighted(gaussianUpdate(process, 4000))
    expect(relativeError(mean(losses), closedForm)).toBeLessThan(1e-5)
    return mean(losses.map((loss) => (loss - closedForm) ** 2))
  })
  expect(Math.max(...spreads)).toBeGreaterThan(1.1 * Math.min(...spreads))
})

test('the shape learns to give every time the same loss, which is the least variance', () => {
  const process = processOf(ends)
  const spread = (): number => mean(weighted(gaussianUpdate(process, 500)).map((loss) => (loss - closedForm) ** 2))
  const before = spread()
  for (let step = 0; step < 300; step++) process.learner.observe(gaussianUpdate(process, 50))
  expect(spread()).toBeLessThan(0.06 * before)
  expect(relativeError(mean(weighted(gaussianUpdate(process, 4000))), closedForm)).toBeLessThan(1e-5)
})

test('of the diffusion loss, the ends feel half the error at the last and minus half of that at the first', () => {
  const process = processOf({ ...ends, ends: 'learned' })
  disturb(process.learner, 5)
  const seen = gaussianUpdate(process, 4000)
  const [first = 0, last = 0] = process.learner.state['ends'] ?? []
  const [byFirst = 0, byLast = 0] = process.learner.gradients(seen)['ends'] ?? []
  // Prior and reconstruction by differences.
  const added = (i: number, step: number): number => {
    const values = process.learner.state['ends'] ?? new Float64Array()
    values[i] = (values[i] ?? 0) + step
    const loss = process.learner.lossOf(seen)
    values[i] = (values[i] ?? 0) - step
    return loss
  }
  const slopeOf = (i: number): number => (added(i, 1e-4) - added(i, -1e-4)) / 2e-4
  expect(Math.abs(byFirst - slopeOf(0) + 0.5 * errorAt(first))).toBeLessThan(1e-5)
  expect(Math.abs(byLast - slopeOf(1) - 0.5 * errorAt(last))).toBeLessThan(1e-5)
})

test('ends that cross stop the run, saying what to lower', () => {
  const process = processOf({ gammaMin: -0.01, gammaMax: 0.01, learningRate: 10, units: 4 })
  expect(() => {
    for (let step = 0; step < 50; step++) process.learner.observe(update(process))
  }).toThrow(/ends of the learned schedule crossed.*learningRate/)
})
