/** The laws of annealed Langevin dynamics and of predictor–corrector sampling on Gaussian data. */
import { describe, expect, test } from 'vitest'
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { posterior } from '../../lib/diffusion/posterior.js'
import { type Level, ratioOf, type Schedule } from '../../lib/diffusion/schedule.js'
import { pairs, selectLevels } from '../../lib/sampling/levels.js'
import type { Program } from '../../lib/sampling/program.js'
import type { RecordContext } from '../../lib/sampling/recorder.js'
import { referenceSteps, runReference } from '../../lib/sampling/reference-executor.js'
import { initialNoise } from '../../lib/sampling/sample.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { sdeRates } from '../../lib/sampling/sde-rates.js'
import { gaussianNetwork, lawAt, moments, runAffine } from './affine-program.js'
import { maximumError, relativeError } from './closeness.js'
import { exactClean, type Moments, variancesAt } from './gaussian.js'
import { contextOf } from './record-context.js'

const data = { mean: 0.4, deviation: 0.6 }
const scheduleOf = (schedule: DiffusionOptions['schedule']): Schedule =>
  createSchedule(parseDiffusion({ schedule }).schedule)

/** The law of x after every step, from the exact one at the first level. */
function laws(
  sampler: SamplerOptions,
  schedule: Schedule,
  levels: readonly Level[],
  change: Partial<RecordContext> = {},
): Moments[] {
  const { label, network } = gaussianNetwork(data)
  const program = recordSampler(parseSampler(sampler), contextOf(schedule, {}, { levels, label, ...change }))
  const start = lawAt(data, levels[0] ?? schedule.clean)
  return runAffine(program, network).steps.map(({ x }) => moments(x, { x: start }))
}

describe('annealed Langevin dynamics', () => {
  const ncsn = scheduleOf('ncsn')

  test("takes NCSNv2's steps: 6.2e-6 at sigma 0.01, 155 at 50", () => {
    const program = recordSampler(parseSampler('annealed-langevin'), contextOf(ncsn))
    const spreads = program.instructions.flatMap((i) =>
      i.op === 'combine' && i.terms.length === 3 ? [i.terms[2]?.[0] ?? 0] : [],
    )
    expect(spreads).toHaveLength(232 * 5)
    expect((spreads[0] ?? 0) ** 2 / 2).toBeCloseTo(155, 10)
    expect((spreads.at(-1) ?? 0) ** 2 / 2).toBeCloseTo(6.2e-6, 18)
    expect(program.steps).toBe(232)
  })

  test.each([
    ['ncsn', 130],
    ['linear', 300],
    ['vp-sde', 0.2],
    ['rectified-flow', 0.6],
  ] as const)('rests at the law of its own chain, on %s at time %d', (name, time) => {
    const schedule = scheduleOf(name)
    const level = schedule.level(time)
    const ratio = ratioOf(level)
    for (const share of [0.062, 0.5, 1.3]) {
      const sampler = {
        kind: 'annealed-langevin',
        stepSize: share * ratio ** 2,
        stepsPerLevel: 500,
        denoise: false,
      } as const
      const [law] = laws(sampler, schedule, [level, schedule.clean])
      // y' = y - q (y - m) + sqrt(2 c) r noise with q = c r² / V: its variance is V / (1 - q / 2), V = deviation² + r².
      const exact = data.deviation ** 2 + ratio ** 2
      const q = (share * ratio ** 2) / exact
      expect(law?.mean).toBeCloseTo(data.mean, 9)
      expect(relativeError(law?.variance ?? 0, exact / (1 - q / 2))).toBeLessThan(1e-9)
    }
  })

  test('ends with the clean image of its last x', () => {
    const levels = selectLevels(ncsn, {})
    const last = levels.at(-2) ?? ncsn.clean
    const [noisy, clean] = [false, true].map((denoise) =>
      laws({ kind: 'annealed-langevin', denoise }, ncsn, levels).at(-1),
    )
    const gain = data.deviation ** 2 / (data.deviation ** 2 + last.sigma ** 2)
    expect(clean?.mean).toBeCloseTo(exactClean(data, last, noisy?.mean ?? 0), 12)
    expect(relativeError(clean?.variance ?? 0, gain ** 2 * (noisy?.variance ?? 0))).toBeLessThan(1e-12)
  })

  test('with many small steps a level comes to the law of the data', () => {
    const schedule = scheduleOf({ kind: 'ncsn', steps: 8, sigmaMin: 0.5, sigmaMax: 5 })
    const sampler = { kind: 'annealed-langevin', stepSize: 0.04 * 0.5 ** 2, stepsPerLevel: 120 } as const
    const levels = selectLevels(schedule, {})
    laws(sampler, schedule, levels).forEach(({ mean, variance }, index) => {
      const level = levels[index] ?? schedule.clean
      const exact = index === 7 ? data.deviation ** 4 / variancesAt(data, level) : variancesAt(data, level)
      expect(Math.abs(mean - data.mean)).toBeLessThan(0.02)
      // The chain's own variance is 1 / (1 - 0.04 / 2) of it at most.
      expect(relativeError(variance, exact)).toBeLessThan(0.0205)
    })
  })

  test('refuses steps that make it run away', () => {
    const context = contextOf(scheduleOf('edm'), { steps: 5, spacing: 'karras' })
    expect(() => recordSampler(parseSampler('annealed-langevin'), context)).not.toThrow()
    expect(() => recordSampler(parseSampler({ kind: 'annealed-langevin', stepSize: 1e-5 }), context)).toThrow(
      /below 0.000008.*sampler.stepSize.*diverges/,
    )
  })
})

describe('the SDE of a schedule', () => {
  const beta = (t: number): number => 0.1 + 19.9 * t
  const total = (t: number): number => 0.1 * t + 9.95 * t * t
  const grown = Math.log(50 / 0.01)
  test.each([
    ['vp-sde', (t: number) => [-beta(t) / 2, beta(t)]],
    ['sub-vp-sde', (t: number) => [-beta(t) / 2, beta(t) * (1 - Math.exp(-2 * total(t)))]],
    ['ve-sde', (t: number) => [0, 2 * grown * (0.01 * Math.exp(grown * t)) ** 2]],
    ['rectified-flow', (t: number) => [-1 / (1 - t), (2 * t) / (1 - t)]],
  ] as const)('%s has the drift and diffusion of the paper', (name, exact) => {
    const schedule = scheduleOf(name)
    for (const time of [schedule.cleanest, 0.01, 0.3, 0.77, name === 'rectified-flow' ? 0.9 : 1]) {
      const [drift = 0, diffusion = 0] = exact(time)
      const rates = sdeRates(schedule, schedule.level(time))
      expect(relativeError(rates.drift, drift)).toBeLessThan(1e-7)
      // Near the clean end of sub-VP g² is 1e-9 of what it is elsewhere: a difference of sigmas squared.
      expect(Math.abs(rates.diffusion - diffusion)).toBeLessThan(1e-7 * Math.max(diffusion, 1e-3))
    }
  })

  test('of discrete times has their own steps for rates', () => {
    const schedule = scheduleOf('linear')
    const { drift, diffusion } = sdeRates(schedule, schedule.level(500))
    const step = 1e-4 + (500 / 999) * (0.02 - 1e-4)
    expect(relativeError(drift, Math.log(1 - step) / 2)).toBeLessThan(1e-12)
    expect(relativeError(diffusion, step)).toBeLessThan(1e-12)
  })
})

describe('predictors alone', () => {
  const schedules = ['vp-sde', 'sub-vp-sde', 've-sde', 'linear', 'ncsn'] as const
  const predictors = ['reverse-diffusion', 'euler-maruyama', 'ancestral'] as const
  const cases = schedules.flatMap((name) => predictors.map((predictor) => [predictor, name] as const))

  test.each(cases)('%s on %s: mean and variance at every level err by O(1 / steps)', (predictor, name) => {
    const schedule = scheduleOf(
      name === 'linear' || name === 'ncsn'
        ? { kind: name, steps: 4000, ...(name === 'linear' && { scaleToSteps: true }) }
        : name,
    )
    const errors = [100, 200, 400].map((steps) => {
      const levels = selectLevels(schedule, { steps, spacing: schedule.steps === undefined ? 'uniform' : 'trailing' })
      const found = laws({ kind: 'predictor-corrector', predictor, corrector: 'none' }, schedule, levels)
      return Math.max(
        ...found.slice(0, -1).map(({ mean, variance }, index) => {
          const exact = lawAt(data, levels[index + 1] ?? schedule.clean)
          return Math.max(Math.abs(mean - exact.mean), Math.abs(variance - exact.variance)) / (exact.variance + 0.01)
        }),
      )
    })
    for (const [coarse, fine] of pairs(errors)) {
      const order = Math.log2(coarse / fine)
      expect(order, String(errors)).toBeGreaterThan(0.8)
      expect(order, String(errors)).toBeLessThan(1.4)
    }
  })

  test('the ancestral one is DDPM', () => {
    const schedule = scheduleOf('linear')
    const levels = selectLevels(schedule, { steps: 20 })
    for (const variance of ['fixed-small', 'fixed-large'] as const) {
      const predictor = { kind: 'predictor-corrector', predictor: 'ancestral', corrector: 'none', variance } as const
      expect(laws(predictor, schedule, levels)).toEqual(laws({ kind: 'ddpm', variance }, schedule, levels))
    }
  })

  test('where variance explodes, reverse diffusion is ancestral sampling with the large variance', () => {
    const schedule = scheduleOf('ncsn')
    const levels = selectLevels(schedule, { steps: 29 })
    const ancestral = laws({ kind: 'ddpm', variance: 'fixed-large' }, schedule, levels)
    const reverse = laws({ kind: 'predictor-corrector', corrector: 'none' }, schedule, levels)
    reverse.forEach(({ mean, variance }, i) => {
      expect(mean).toBeCloseTo(ancestral[i]?.mean ?? Number.NaN, 11)
      expect(relativeError(variance, ancestral[i]?.variance ?? Number.NaN)).toBeLessThan(1e-11)
    })
  })

  test('the last step adds its noise unless it is left out', () => {
    const schedule = scheduleOf('ncsn')
    const levels = selectLevels(schedule, { steps: 29 })
    const [kept, left] = [false, true].map((denoise) =>
      laws({ kind: 'predictor-corrector', corrector: 'none', denoise }, schedule, levels).at(-1),
    )
    const last = posterior(levels.at(-2) ?? schedule.clean, schedule.clean)
    expect((kept?.variance ?? 0) - (left?.variance ?? 0)).toBeCloseTo(last.forwardVariance, 12)
  })
})

describe('correctors', () => {
  test('the annealed one rests at the law of its own chain', () => {
    for (const [name, time] of [
      ['ncsn', 130],
      ['vp-sde', 0.3],
    ] as const) {
      const schedule = scheduleOf(name)
      const level = schedule.level(time)
      const sampler = {
        kind: 'predictor-corrector',
        predictor: 'none',
        corrector: 'annealed',
        snr: 0.3,
        corrections: 400,
      } as const
      const [law] = laws(sampler, schedule, [level, schedule.clean])
      const variance = variancesAt(data, level)
      const size = 2 * (level.alpha * 0.3 * level.sigma) ** 2
      expect(law?.mean).toBeCloseTo(level.alpha * data.mean, 8)
      expect(relativeError(law?.variance ?? 0, variance / (1 - size / (2 * variance)))).toBeLessThan(1e-9)
    }
  })

  test('a Langevin move is as long as the norms of its own sample say', async () => {
    const schedule = scheduleOf('linear')
    const [level, next] = [schedule.level(500), schedule.level(480)]
    const sampler = { kind: 'predictor-corrector', predictor: 'none', snr: 0.2 } as const
    const program = recordSampler(
      parseSampler(sampler),
      contextOf(schedule, {}, { levels: [level, next, schedule.clean] }),
    )
    const [x, noise] = [
      [0.3, -1, 2, 0.4, 0.2, -0.7],
      [1, 0.5, -0.2, -1.4, 0.9, 0.1],
    ]
    const steps = referenceSteps(program, {
      network: (values) => values.map((value) => 0.5 * value),
      inputs: { x },
      shape: [3],
      samples: [0, 1],
      seed: 0,
      noise: () => noise,
    })
    const { value } = await steps.next()
    const moved = value && 'x' in value ? value.x : []
    const norm = (values: readonly number[]): number => Math.hypot(...values)
    const exact = [0, 3].flatMap((start) => {
      const [xs, zs] = [x.slice(start, start + 3), noise.slice(start, start + 3)]
      const score = xs.map((one) => (level.alpha * 0.5 * one - one) / level.sigma ** 2)
      const size = 2 * (level.alpha / next.alpha) ** 2 * (0.2 * (norm(zs) / norm(score))) ** 2
      return xs.map((one, i) => one + size * (score[i] ?? 0) + Math.sqrt(2 * size) * (zs[i] ?? 0))
    })
    expect(maximumError(moved, exact)).toBeLessThan(1e-14)
  })

  const elements = 5000
  const gaussianRun = async (
    program: Program,
    at: (label: number) => Level,
    start: Moments,
    samples: readonly number[],
  ) => {
    const run = await runReference(program, {
      network: (x, label) => x.map((value) => exactClean(data, at(label), value)),
      inputs: {
        x: initialNoise(1, samples, elements).map((value) => start.mean + Math.sqrt(start.variance) * value),
      },
      shape: [elements],
      samples,
      seed: 8,
    })
    return run.output
  }

  test('a Langevin chain rests where its mean step size says', async () => {
    // In many dimensions |noise|² is n and |score|² n W / V², so e = 2 snr² V² / W, and W = (1 - e / V)² W + 2 e.
    const schedule = scheduleOf('ncsn')
    const level = schedule.level(60)
    const sampler = { kind: 'predictor-corrector', predictor: 'none', snr: 0.4, corrections: 60 } as const
    const program = recordSampler(parseSampler(sampler), contextOf(schedule, {}, { levels: [level, schedule.clean] }))
    const x = await gaussianRun(program, () => level, lawAt(data, level), [0, 1, 2])
    const variance = x.reduce((sum, value) => sum + (value - data.mean) ** 2, 0) / x.length
    expect(relativeError(variance, variancesAt(data, level) * (1 + 0.4 ** 2))).toBeLessThan(0.035)
  })

  test('a sample does not depend on its company', async () => {
    const schedule = scheduleOf('vp-sde')
    const program = recordSampler(parseSampler('predictor-corrector'), contextOf(schedule, { steps: 6 }))
    const at = (label: number): Level => schedule.level(label)
    const both = await gaussianRun(program, at, { mean: 0, variance: 1 }, [3, 4])
    const alone = await gaussianRun(program, at, { mean: 0, variance: 1 }, [3])
    expect(both.slice(0, elements)).toEqual(alone)
  })

  test.each(['vp-sde', 've-sde', 'sub-vp-sde'] as const)(
    'with both, x has the mean and variance of the data at every level of %s',
    async (name) => {
      const schedule = scheduleOf(name)
      const levels = selectLevels(schedule, { steps: 120 })
      const program = recordSampler(
        parseSampler({ kind: 'predictor-corrector', snr: 0.1 }),
        contextOf(schedule, {}, { levels, start: 'noise' }),
      )
      let index = 0
      for await (const { x } of referenceSteps(program, {
        network: (values, label) => values.map((value) => exactClean(data, schedule.level(label), value)),
        inputs: { x: Float64Array.from({ length: 1500 }, (_, i) => Math.SQRT2 * Math.sin(i * i + 0.5 * i)) },
        shape: [1500],
        samples: [5],
        seed: 2,
      })) {
        index += 1
        if (index % 15 !== 0) continue
        const { mean, variance } = lawAt(data, levels[index] ?? schedule.clean)
        const [found, size] = [x.reduce((sum, value) => sum + value, 0) / 1500, Math.sqrt(variance)]
        const spread = x.reduce((sum, value) => sum + (value - found) ** 2, 0) / 1500
        expect(Math.abs(found - mean)).toBeLessThan(0.1 * size)
        expect(relativeError(spread, variance)).toBeLessThan(0.2)
      }
      expect(index).toBe(120)
    },
  )

  test('neither predictor nor corrector is refused', () => {
    const nothing = { kind: 'predictor-corrector', predictor: 'none', corrector: 'none' } as const
    expect(() => recordSampler(parseSampler(nothing), contextOf(scheduleOf('vp-sde'), { steps: 3 }))).toThrow(
      'moves nothing',
    )
  })
})
