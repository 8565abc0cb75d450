import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { VarianceKind } from '../../lib/diffusion/posterior.js'
import { type PredictionName, resolvePrediction } from '../../lib/diffusion/predictions/list.js'
import type { Schedule } from '../../lib/diffusion/schedule.js'
import { pairs, type StepSelection, selectLevels } from '../../lib/sampling/levels.js'
import type { Program } from '../../lib/sampling/program.js'
import { runReference } from '../../lib/sampling/reference-executor.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { maximumError, relativeError } from './closeness.js'
import { exactClean, type Gaussian, type Moments, propagateMoments, variancesAt } from './gaussian.js'
import { contextOf } from './record-context.js'

const scheduleOf = (kind: 'linear' | 'cosine', steps: number): Schedule =>
  createSchedule(
    parseDiffusion({ schedule: kind === 'linear' ? { kind, steps, scaleToSteps: true } : { kind, steps } }).schedule,
  )

function programOf(
  schedule: Schedule,
  sampler: SamplerOptions,
  selection: StepSelection = {},
  variance: VarianceKind = 'fixed-small',
): Program {
  return recordSampler(parseSampler(sampler), contextOf(schedule, selection, { variance }))
}

const exactNetwork =
  (schedule: Schedule, data: Gaussian) =>
  (x: number, time: number): number =>
    exactClean(data, schedule.level(time), x)

function startOf(schedule: Schedule, data: Gaussian): Moments {
  const level = schedule.level(schedule.noisiest)
  return { mean: level.alpha * data.mean, variance: variancesAt(data, level) }
}

describe('DDPM on Gaussian data with the exact denoiser', () => {
  // Ho et al. 2020, §3.2: the two variances are the exact ones for data N(0, 1) and for a single image.
  test.each([
    ['fixed-large', 'linear', { mean: 0.7, deviation: 1 }],
    ['fixed-large', 'cosine', { mean: -0.4, deviation: 1 }],
    ['fixed-small', 'linear', { mean: 0.7, deviation: 0 }],
    ['fixed-small', 'cosine', { mean: -0.4, deviation: 0 }],
  ] as const)('%s is exact at every level of %s for data %j', async (variance, kind, data) => {
    const schedule = scheduleOf(kind, 200)
    const program = programOf(schedule, { kind: 'ddpm', variance })
    const moments = await propagateMoments(program, exactNetwork(schedule, data), startOf(schedule, data))
    moments.forEach(({ mean, variance }, index) => {
      const level = schedule.level(198 - index)
      expect(Math.abs(mean - level.alpha * data.mean)).toBeLessThan(1e-12)
      const exact =
        level.time < 0
          ? data.deviation === 0
            ? 0
            : variancesAt(data, schedule.level(0)) * schedule.level(0).alpha ** 2
          : variancesAt(data, level)
      expect(Math.abs(variance - exact)).toBeLessThan(1e-12)
    })
    expect(moments.length).toBe(200)
  })

  test.each(['fixed-small', 'fixed-large'] as const)(
    '%s: the variance of the samples errs by O(1 / steps), the mean not at all',
    async (variance) => {
      const data = { mean: 0.3, deviation: 0.5 }
      const schedule = scheduleOf('linear', 4000)
      const errors: number[] = []
      for (const steps of [100, 200, 400, 800]) {
        const program = programOf(schedule, { kind: 'ddpm', variance }, { steps })
        const last = (await propagateMoments(program, exactNetwork(schedule, data), startOf(schedule, data))).at(-1)
        expect(last?.mean).toBeCloseTo(0.3, 12)
        errors.push(Math.abs((last?.variance ?? 0) - 0.25))
      }
      for (const [coarse, fine] of pairs(errors)) {
        const order = Math.log2(coarse / fine)
        expect(order).toBeGreaterThan(0.8)
        expect(order).toBeLessThan(1.3)
      }
    },
  )
})

describe('DDIM on Gaussian data with the exact denoiser', () => {
  const data = { mean: 0.3, deviation: 0.5 }

  test.each(['linear', 'cosine'] as const)(
    'converges at first order to the solution of the probability flow (%s)',
    async (kind) => {
      // The flow keeps (x - alpha m) / sqrt(alpha² s² + sigma²), so x = 1.3 at the start ends at a known place.
      const schedule = scheduleOf(kind, 4000)
      const first = schedule.level(3999)
      const exact = data.mean + (data.deviation * (1.3 - first.alpha * data.mean)) / Math.sqrt(variancesAt(data, first))
      const errors: number[] = []
      for (const steps of [50, 100, 200, 400]) {
        const network = exactNetwork(schedule, data)
        const { output } = await runReference(programOf(schedule, { kind: 'ddim' }, { steps }), {
          network: (x, time) => x.map((value) => network(value, time)),
          inputs: { x: [1.3] },
          shape: [1],
          samples: [0],
          seed: 0,
        })
        errors.push(Math.abs((output[0] ?? 0) - exact))
      }
      expect(errors.at(-1)).toBeLessThan(5e-3)
      for (const [coarse, fine] of pairs(errors)) expect(Math.abs(Math.log2(coarse / fine) - 1)).toBeLessThan(0.15)
    },
  )

  test('is exact in any number of steps when there is one image only', async () => {
    const schedule = scheduleOf('cosine', 1000)
    for (const steps of [1, 2, 7, 50]) {
      const { output } = await runReference(programOf(schedule, { kind: 'ddim' }, { steps }), {
        network: (x) => x.map(() => 0.3),
        inputs: { x: [1.3, -2] },
        shape: [2],
        samples: [0],
        seed: 0,
      })
      expect([...output]).toEqual([0.3, 0.3])
    }
  })

  test.each([0.5, 1])('with eta %d the law of one image is exact at every level', async (eta) => {
    const schedule = scheduleOf('linear', 100)
    const single = { mean: 0.4, deviation: 0 }
    const program = programOf(schedule, { kind: 'ddim', eta }, { steps: 20 })
    const moments = await propagateMoments(program, exactNetwork(schedule, single), startOf(schedule, single))
    const levels = selectLevels(schedule, { steps: 20 }).slice(1)
    moments.forEach(({ variance }, index) => {
      expect(Math.abs(variance - (levels[index]?.sigma ?? 0) ** 2)).toBeLessThan(1e-12)
    })
  })
})

describe('DDIM with eta 1 is DDPM with the small variance', () => {
  const network = (x: Float64Array, cNoise: number): Float64Array =>
    x.map((value, i) => Math.tanh(1.3 * value - 0.4 * (x[x.length - 1 - i] ?? 0) + cNoise / 900))
  test.each([
    ['linear', undefined],
    ['linear', 20],
    ['cosine', undefined],
  ] as const)('%s, steps %s', async (kind, steps) => {
    const schedule = scheduleOf(kind, 1000)
    const run = { network, inputs: { x: [0.3, -1, 2, 0.1] }, shape: [4], samples: [3], seed: 17 }
    const a = await runReference(programOf(schedule, { kind: 'ddim', eta: 1 }, { steps }), run)
    const b = await runReference(programOf(schedule, { kind: 'ddpm' }, { steps }), run)
    expect(a.evaluations).toBe(steps ?? 1000)
    expect(maximumError(a.output, b.output)).toBeLessThan(1e-12)
  })
})

describe('DDIM, one step written out', () => {
  test('is eq. 12 of the paper, with its sigma', async () => {
    const schedule = scheduleOf('linear', 1000)
    const [from, to] = [schedule.level(600), schedule.level(400)]
    const [a, b] = [from.alpha ** 2, to.alpha ** 2]
    const sigma = 0.5 * Math.sqrt((1 - b) / (1 - a)) * Math.sqrt(1 - a / b)
    const [x, noise] = [0.8, -1.1]
    const clean = (value: number): number => 0.6 * value
    const direction = (x - from.alpha * clean(x)) / from.sigma
    const next = to.alpha * clean(x) + Math.sqrt(1 - b - sigma ** 2) * direction + sigma * noise
    const levels = [from, to, schedule.level(-1)]
    const program = recordSampler(parseSampler({ kind: 'ddim', eta: 0.5 }), contextOf(schedule, {}, { levels }))
    const { output } = await runReference(program, {
      network: (values) => values.map(clean),
      inputs: { x: [x] },
      shape: [1],
      samples: [0],
      seed: 0,
      noise: () => [noise],
    })
    expect(relativeError(output[0] ?? 0, clean(next))).toBeLessThan(1e-13)
  })
})

test('the prediction does not matter to what is sampled', async () => {
  const schedule = scheduleOf('cosine', 100)
  const clean = (x: number): number => Math.tanh(2 * x)
  const outputs: Record<string, number> = {}
  const names: PredictionName[] = ['noise', 'clean', 'velocity']
  for (const name of names) {
    const prediction = resolvePrediction(name, schedule)
    const clip = { kind: 'range', low: -1, high: 1 } as const
    const program = recordSampler(parseSampler('ddim'), contextOf(schedule, { steps: 20 }, { prediction, clip }))
    const { output } = await runReference(program, {
      network: (values, time) => {
        const level = schedule.level(time)
        const { targetClean, targetNoise } = prediction.numbers(level)
        return values.map((x) => targetClean * clean(x) + (targetNoise * (x - level.alpha * clean(x))) / level.sigma)
      },
      inputs: { x: [0.7] },
      shape: [1],
      samples: [0],
      seed: 0,
    })
    outputs[name] = output[0] ?? 0
  }
  expect(relativeError(outputs.noise ?? 0, outputs.clean ?? 1)).toBeLessThan(1e-9)
  expect(relativeError(outputs.velocity ?? 0, outputs.clean ?? 1)).toBeLessThan(1e-12)
})
