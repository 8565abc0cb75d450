import { describe, expect, test } from 'vitest'
import { createProcess, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { rowFields } from '../../lib/native/binding.js'

describe('the objective', () => {
  const process = createProcess(parseDiffusion({ schedule: { kind: 'linear', steps: 100 } }))

  test('of DDPM: mix by the level, tell the network t, aim at the noise, weight 1', () => {
    const { alpha, sigma } = process.schedule.level(37)
    expect(process.objective.row(37)).toMatchObject({
      alpha,
      sigma,
      cIn: 1,
      cNoise: 37,
      targetClean: 0,
      targetNoise: 1,
      weight: 1,
      boundWeight: 0,
    })
  })

  test('gives rows in the order of rowFields, each by (seed, epoch, example) alone', () => {
    const { objective } = process
    const { rows } = objective.draw({ seed: 7, step: 0, epochs: [0, 0, 1], examples: [5, 900, 5] })
    expect(rows.length).toBe(3 * rowFields.length)
    ;[
      [0, 5],
      [0, 900],
      [1, 5],
    ].forEach(([epoch = 0, example = 0], index) => {
      const row = objective.row(objective.timeOf({ seed: 7, step: 0, epoch, example, slot: 0, slots: 1 }))
      expect([...rows.subarray(index * rowFields.length, (index + 1) * rowFields.length)]).toEqual(
        rowFields.map((field) => row[field]),
      )
    })
    const { rows: alone } = objective.draw({ seed: 7, step: 3, epochs: [1], examples: [5] })
    expect(rows.slice(2 * rowFields.length)).toEqual(alone)
  })

  test('draws every time alike (chi-squared over 100 times, 1 in 10,000)', () => {
    const counts = new Array<number>(100).fill(0)
    for (let example = 0; example < 20_000; example++) {
      const time = process.objective.timeOf({ seed: 3, step: 0, epoch: 2, example, slot: 0, slots: 1 })
      counts[time] = (counts[time] ?? 0) + 1
    }
    expect(counts.length).toBe(100)
    expect(counts.reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0)).toBeLessThan(161)
  })

  test.each([
    ['step', 0, 99],
    ['thousandths', 0, 990],
    ['fraction', 0.01, 1],
  ] as const)('tells the network the time as %s: %d … %d', (timeLabel, first, last) => {
    const { objective, label, schedule } = createProcess(
      parseDiffusion({ schedule: { kind: 'linear', steps: 100 }, timeLabel }),
    )
    expect(objective.row(0).cNoise).toBe(first)
    expect(objective.row(99).cNoise).toBe(last)
    expect(label(schedule.level(99))).toBe(last)
  })

  test('refuses epochs and examples of different number', () => {
    expect(() =>
      process.objective.draw({ seed: 0, step: 0, epochs: new Float64Array(2), examples: new Float64Array(3) }),
    ).toThrow('one epoch for each of 3 examples')
  })
})

describe('diffusion options', () => {
  test('are those of DDPM when nothing is said', () => {
    expect(parseDiffusion({})).toEqual({
      schedule: {
        kind: 'linear',
        steps: 1000,
        betaStart: 1e-4,
        betaEnd: 0.02,
        scaleToSteps: false,
        zeroTerminalSnr: false,
      },
      prediction: { kind: 'noise' },
      variance: 'fixed-large',
      weighting: { kind: 'uniform' },
      coupling: 'independent',
      times: { kind: 'uniform' },
      timeLabel: 'step',
      loss: 'l2',
      lossScale: 1,
      bound: { kind: 'none' },
      logVarianceClip: 'second-step',
      clip: { kind: 'range', low: -1, high: 1 },
    })
  })
  test.each([
    [{ schedule: { kind: 'cosin' } }, 'for `schedule.kind` but received "cosin". Did you mean "cosine"?'],
    [{ prediction: 'v' }, 'for `prediction` but received "v".'],
    [{ clip: { kind: 'range', low: 2 } }, 'Expected a range whose low is below its high for `clip`'],
    [{ weighting: { kind: 'min-snr', gama: 3 } }, 'Did you mean `weighting.gamma`?'],
  ])('%j is refused in words', (options, message) => {
    expect(() => parseDiffusion(options)).toThrow(message)
  })
})
