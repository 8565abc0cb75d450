import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { lawOf } from '../../lib/evaluation/analytic/affine-program.js'
import { defineSampler } from '../../lib/sampling/define-sampler.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { record } from '../../lib/sampling/recorder.js'
import { runReference } from '../../lib/sampling/reference-executor.js'
import { initialNoise } from '../../lib/sampling/sample.js'
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

  test('takes draws of one key for one number', () => {
    const twice = defineSampler(
      'twice',
      z.strictObject({ kind: z.literal('twice') }),
      (x, { levels, denoise, combine, noise, emit }) => {
        const clean = denoise(x, levels[0] ?? schedule.clean)
        return emit(
          combine([
            [1, noise(3)],
            [2, noise(3)],
            [4, noise(3, 'churn')],
          ]),
          clean,
        )
      },
    )
    const { output } = runAffine(record(twice, { kind: 'twice' }, contextOf(schedule, { steps: 1 })), () => ({
      gain: 1,
      offset: 0,
    }))
    expect(lawOf(output, {}).deviation).toBeCloseTo(5, 14)
  })

  test('with norms is that of an image of many elements', async () => {
    const edm = createSchedule(parseDiffusion({ schedule: 'edm', timeLabel: 'quarter-log-ratio' }).schedule)
    const { label, network } = gaussianNetwork(data)
    const levels = [5, 2, 0.7].map((ratio) => edm.atRatio(ratio))
    const sampler = parseSampler({ kind: 'predictor-corrector', snr: 0.3 })
    const program = recordSampler(sampler, contextOf(edm, {}, { levels: [...levels, edm.clean], label }))
    const start = { mean: 0.4, deviation: Math.hypot(0.6, 5) }
    const elements = 40_000
    const { output } = await runReference(program, {
      network: (x, cNoise) => {
        const { gain, offset } = network(cNoise, { network: 0, condition: 'null' })
        return x.map((value) => gain * value + offset)
      },
      inputs: { x: initialNoise(1, [0], elements).map((value) => start.mean + start.deviation * value) },
      shape: [elements],
      samples: [0],
      seed: 4,
    })
    const law = lawOf(runAffine(program, network, { x: start }).output, { x: start })
    const mean = output.reduce((sum, value) => sum + value, 0) / elements
    const variance = output.reduce((sum, value) => sum + (value - mean) ** 2, 0) / elements
    // Four standard errors of 40,000 numbers.
    expect(Math.abs(mean - law.mean)).toBeLessThan(0.02 * law.deviation)
    expect(Math.abs(Math.sqrt(variance) / law.deviation - 1)).toBeLessThan(0.015)
    expect(() => runAffine(program, network)).toThrow('the law of the input x')
  })
})
