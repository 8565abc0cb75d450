/** EDM2's uncertainty: its gradient, its minimiser; and Adam, which moves it. */
import { describe, expect, test } from 'vitest'
import { createProcess, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { Adam } from '../../lib/diffusion/learned/adam.js'
import { Uncertainty } from '../../lib/diffusion/weightings/uncertainty.js'
import { normals } from '../../lib/random/philox.js'
import { relativeError } from './closeness.js'
import { flatRows, observation } from './observations.js'

function processOf(options: DiffusionOptions = {}) {
  const process = createProcess(
    parseDiffusion({
      schedule: 'edm',
      prediction: 'edm',
      timeLabel: 'quarter-log-ratio',
      weighting: { kind: 'uncertainty', learningRate: 0.02 },
      ...options,
    }),
  )
  const [learner] = process.learners
  if (!(learner instanceof Uncertainty)) throw new Error('no learner of a weighting')
  return { ...process, learner }
}

const times = Float64Array.of(0.01, 0.2, 1, 7, 60)

describe('uncertainty', () => {
  test('begins as the weighting it is of, and divides it by exp(u)', () => {
    const { objective, learner, schedule } = processOf()
    const plain = createProcess(
      parseDiffusion({ schedule: 'edm', prediction: 'edm', weighting: 'edm', timeLabel: 'quarter-log-ratio' }),
    ).objective
    for (const time of times) expect(objective.row(time)).toEqual(plain.row(time))
    learner.state['weights']?.set(normals(1, 'weights', 0, 0, 128))
    for (const time of times) {
      const u = learner.at(schedule.level(time))
      expect(Math.abs(u)).toBeGreaterThan(0.01)
      expect(relativeError(objective.row(time).weight, plain.row(time).weight * Math.exp(-u))).toBeLessThan(1e-14)
    }
  })

  test('its rows follow what it learns also where times are discrete', () => {
    const { objective, learner } = processOf({ schedule: 'linear', prediction: 'noise', timeLabel: 'step' })
    const before = objective.row(500).weight
    learner.state['weights']?.fill(0.5)
    expect(objective.row(500).weight).not.toBe(before)
  })

  test('its gradient is that of the mean of scale (w L / exp(u) + u)', () => {
    const { objective, learner, schedule } = processOf()
    const weights = learner.state['weights'] ?? new Float64Array()
    weights.set(normals(2, 'weights', 0, 0, 128).map((normal) => 0.3 * normal))
    const losses = Float64Array.of(0.3, 2, 0.01, 1, 5)
    const scales = Float64Array.of(1, 2, 0.5, 1, 3)
    const seen = () =>
      observation({
        times,
        losses,
        scales,
        rows: flatRows(
          Array.from(times, (time, n) => {
            const row = objective.row(time)
            return { ...row, weight: (scales[n] ?? 0) * row.weight }
          }),
        ),
      })
    const total = (): number =>
      Array.from(times, (time, n) => {
        const weight = (scales[n] ?? 0) * objective.row(time).weight
        return (weight * (losses[n] ?? 0) + (scales[n] ?? 0) * learner.at(schedule.level(time))) / times.length
      }).reduce((sum, one) => sum + one, 0)
    const plain = objective.row.bind(objective)
    const added = learner.lossOf(seen())
    const weightedPart = Array.from(
      times,
      (time, n) => ((scales[n] ?? 0) * plain(time).weight * (losses[n] ?? 0)) / times.length,
    ).reduce((sum, one) => sum + one, 0)
    expect(relativeError(weightedPart + added, total())).toBeLessThan(1e-13)
    const gradient = learner.gradient(seen())
    const size = Math.max(...gradient.map(Math.abs))
    for (const i of [0, 1, 50, 127]) {
      const h = 1e-4
      const moved = (step: number): number => {
        weights[i] = (weights[i] ?? 0) + step
        const value = total()
        weights[i] = (weights[i] ?? 0) - step
        return value
      }
      expect(Math.abs((gradient[i] ?? 0) - (moved(h) - moved(-h)) / (2 * h))).toBeLessThan(1e-7 * size)
    }
  })

  test('is least at u = ln E[w L] of each level', () => {
    const { objective, learner, schedule } = processOf()
    // Two losses at each time, three to one, whose means differ by four orders of magnitude.
    const all = Float64Array.from([...times, ...times])
    const lossAt = (n: number): number => 10 ** ((n % 5) - 3) * (n < 5 ? 0.5 : 1.5)
    const losses = Float64Array.from(all, (_, n) => lossAt(n))
    for (let step = 0; step < 1500; step++) {
      const rows = flatRows(Array.from(all, (time) => objective.row(time)))
      learner.observe(observation({ times: all, losses, rows }))
    }
    times.forEach((time, n) => {
      expect(Math.abs(learner.at(schedule.level(time)) - Math.log(10 ** (n - 3)))).toBeLessThan(1e-3)
    })
  })

  test('needs signal everywhere', () => {
    expect(() =>
      processOf({
        schedule: { kind: 'linear', zeroTerminalSnr: true },
        prediction: 'velocity',
        timeLabel: 'step',
      }),
    ).toThrow(/The weighting "uncertainty" needs some signal at every time/)
  })
})

describe('Adam', () => {
  test('moves the first time by the learning rate against the sign of the gradient', () => {
    const parameters = { values: Float64Array.of(1, -2, 3) }
    new Adam(parameters).update({ values: Float64Array.of(5, -1e-3, 0) }, 0.1)
    expect(parameters.values[0]).toBeCloseTo(0.9, 8)
    expect(parameters.values[1]).toBeCloseTo(-1.9, 5)
    expect(parameters.values[2]).toBe(3)
  })

  test('is its sums: after n updates the moments are Σ (1 - beta) beta^(n - i) g_i^k', () => {
    const gradients = [0.3, -1.2, 2, 0.7, -0.1]
    const parameters = { value: Float64Array.of(0) }
    const adam = new Adam(parameters)
    let wanted = 0
    gradients.forEach((gradient, last) => {
      adam.update({ value: Float64Array.of(gradient) }, 0.01)
      const moment = (beta: number, power: number): number =>
        gradients.slice(0, last + 1).reduce((sum, one, i) => sum + (1 - beta) * beta ** (last - i) * one ** power, 0) /
        (1 - beta ** (last + 1))
      wanted -= (0.01 * moment(0.9, 1)) / (Math.sqrt(moment(0.999, 2)) + 1e-8)
    })
    expect(relativeError(parameters.value[0] ?? 0, wanted)).toBeLessThan(1e-13)
    expect(Object.keys(adam.state)).toEqual(['value', 'first.value', 'second.value', 'updates'])
    expect(adam.state['updates']).toEqual(Float64Array.of(5))
  })

  test('goes on from its state as if it had never stopped', () => {
    const gradientAt = (step: number) => ({ value: normals(4, 'weights', step, 0, 3) })
    const whole = { value: new Float64Array(3) }
    const straight = new Adam(whole)
    for (let step = 0; step < 6; step++) straight.update(gradientAt(step), 0.1)
    const parts = [{ value: new Float64Array(3) }, { value: new Float64Array(3) }] as const
    const [before, after] = parts.map((part) => new Adam(part)) as [Adam, Adam]
    for (let step = 0; step < 3; step++) before.update(gradientAt(step), 0.1)
    for (const [name, values] of Object.entries(after.state)) values.set(before.state[name] ?? [])
    for (let step = 3; step < 6; step++) after.update(gradientAt(step), 0.1)
    expect(parts[1].value).toEqual(whole.value)
  })
})
