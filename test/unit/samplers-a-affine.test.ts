import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { parseSampler, recordSampler } from '../../lib/sampling/samplers.js'
import { gaussianNetwork, lawAt, moments, runAffine } from './affine-program.js'
import { propagateMoments } from './gaussian.js'
import { contextOf } from './record-context.js'

const data = { mean: 0.4, deviation: 0.6 }
const schedule = createSchedule(parseDiffusion({ schedule: { kind: 'linear', steps: 1000 } }).schedule)

describe('the law of x, read off the program', () => {
  test('is that of a run with unit vectors', async () => {
    const { label, network } = gaussianNetwork(data)
    const levels = selectLevels(schedule, { steps: 12 })
    const start = lawAt(data, schedule.level(999))
    const program = recordSampler(parseSampler('ddpm'), contextOf(schedule, {}, { levels, label }))
    const run = await propagateMoments(
      program,
      (x, cNoise) =>
        network(cNoise, { network: 0, condition: 'null' }).gain * x +
        network(cNoise, { network: 0, condition: 'null' }).offset,
      start,
    )
    const { steps, evaluations } = runAffine(program, network)
    expect(evaluations).toBe(12)
    expect(steps).toHaveLength(12)
    steps.forEach(({ x }, index) => {
      const { mean, variance } = moments(x, { x: start })
      expect(mean).toBeCloseTo(run[index]?.mean ?? Number.NaN, 13)
      expect(variance).toBeCloseTo(run[index]?.variance ?? Number.NaN, 13)
    })
  })
})
