/** What the solvers in lambda do exactly: the law of x with noise, which of them are one, where they begin and end, the way back. */
import { describe, expect, test } from 'vitest'
import { continuousSchedule } from '../../lib/diffusion/continuous-schedule.js'
import { straight } from '../../lib/diffusion/discrete-schedule.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { linear } from '../../lib/diffusion/schedules/linear.js'
import { phi } from '../../lib/sampling/dpm-solver-numbers.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { runReference } from '../../lib/sampling/reference-executor.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { gaussianNetwork, lawAt, moments, runAffine, valueAt } from './affine-program.js'
import { maximumError } from './closeness.js'
import type { Gaussian } from './gaussian.js'
import { contextOf } from './record-context.js'

const vp = linear.create({
  kind: 'linear',
  steps: 4000,
  betaStart: 1e-4,
  betaEnd: 0.02,
  scaleToSteps: true,
  zeroTerminalSnr: false,
})

/** Rectified flow, which begins with noise alone: alpha 0. */
const flow = continuousSchedule({
  name: 'flow',
  cleanest: 1e-6,
  noisiest: 1,
  at: (time) => ({ alpha: 1 - time, sigma: time }),
  timeAtRatio: (ratio) => ratio / (1 + ratio),
  family: straight,
})

/** x at every level after the first in law, and what it should be. */
function lawsOf(sampler: SamplerOptions, data: Gaussian, schedule: Schedule, levels: readonly Level[]) {
  const { label, network } = gaussianNetwork(data)
  const run = runAffine(recordSampler(parseSampler(sampler), contextOf(schedule, {}, { levels, label })), network)
  expect(run.steps).toHaveLength(levels.length - 1)
  const start = { x: lawAt(data, levels[0] ?? schedule.clean) }
  return run.steps.map(({ x }, i) => ({
    actual: moments(x, start),
    exact: lawAt(data, levels[i + 1] ?? schedule.clean),
  }))
}

const stochastic: readonly SamplerOptions[] = [
  'dpm++sde',
  { kind: 'dpm++sde', eta: 0.4 },
  { kind: 'dpm++sde', noise: 'independent' },
  { kind: 'dpm++sde', noise: 'independent', eta: 0.4 },
  'dpm++2m-sde',
  { kind: 'dpm++2m-sde', solver: 'heun', eta: 0.4 },
  'dpm++3m-sde',
  { kind: 'dpm++3m-sde', curvature: 'half', eta: 0.4 },
  'dpm++2s-ancestral',
  { kind: 'dpm++2s-ancestral', eta: 0.4 },
]
const deterministic: readonly SamplerOptions[] = [
  'dpm-solver-2',
  'dpm-solver-3',
  'dpm-solver-2m',
  'dpm-solver-3m',
  'dpm-singlestep',
  { kind: 'dpm-singlestep', order: 3, form: 'noise', solver: 'heun' },
  'dpm++2s',
  'dpm++2m',
  'dpm++3m',
  { kind: 'unipc', order: 1 },
  { kind: 'unipc', order: 2 },
  { kind: 'unipc', order: 3, variant: 'bh1' },
  { kind: 'unipc', order: 3, corrector: false },
]
const titled = (samplers: readonly SamplerOptions[]) => samplers.map((one) => [JSON.stringify(one), one] as const)

describe('the law of x with added noise', () => {
  test.each(titled(stochastic))('%s is exact at every level for a single image', (_, sampler) => {
    for (const { actual, exact } of lawsOf(sampler, { mean: 0.4, deviation: 0 }, vp, selectLevels(vp, { steps: 17 }))) {
      expect(Math.abs(actual.mean - exact.mean)).toBeLessThan(1e-12)
      expect(Math.abs(actual.variance - exact.variance)).toBeLessThan(1e-12)
    }
  })

  test.each(
    stochastic.map((sampler) => {
      const independent = typeof sampler === 'object' && 'noise' in sampler
      return [JSON.stringify(sampler), independent ? 1 : 2, sampler] as const
    }),
  )('%s: the mean is exact at every level, the variance errs by O(steps^-%d)', (_, order, sampler) => {
    const data = { mean: 0.4, deviation: 0.6 }
    const [coarse = 0, fine = 0] = [80, 160].map((steps) => {
      // Even steps of lambda; the step to the clean image, of a size of its own, is left out.
      const ratios = Array.from({ length: steps + 1 }, (_, i) => 50 * 1e-3 ** (i / steps))
      const levels = [...ratios.map((ratio) => vp.atRatio(ratio)), vp.clean]
      const laws = lawsOf(sampler, data, vp, levels).slice(0, -1)
      for (const { actual, exact } of laws) expect(Math.abs(actual.mean - exact.mean)).toBeLessThan(1e-11)
      return Math.max(...laws.map(({ actual, exact }) => Math.abs(actual.variance / exact.variance - 1)))
    })
    expect(fine).toBeLessThan(order === 1 ? 0.05 : 1e-3)
    expect(Math.log2(coarse / fine)).toBeGreaterThan(order - 0.3)
    expect(Math.log2(coarse / fine)).toBeLessThan(order + 0.6)
  })

  test('noiseScale is a factor of the noise', () => {
    const levels = selectLevels(vp, { steps: 2 })
    for (const kind of ['dpm++sde', 'dpm++2m-sde', 'dpm++3m-sde', 'dpm++2s-ancestral'] as const) {
      const spread = (noiseScale: number) => {
        const { label, network } = gaussianNetwork({ mean: 0, deviation: 0 })
        const context = contextOf(vp, {}, { levels, label })
        const [first] = runAffine(recordSampler(parseSampler({ kind, noiseScale }), context), network).steps
        return first ? moments(first.x, { x: { mean: 0, variance: 0 } }).variance : Number.NaN
      }
      expect(spread(1.5) / spread(1)).toBeCloseTo(2.25, 12)
    }
  })
})

describe('samplers that are the same where they should be', () => {
  const network = (x: Float64Array, cNoise: number): Float64Array =>
    x.map((value, i) => Math.tanh(1.3 * value - 0.4 * (x[x.length - 1 - i] ?? 0) + cNoise / 900))
  const outputOf = async (sampler: SamplerOptions) => {
    const run = { network, inputs: { x: [0.3, -1, 2, 0.1] }, shape: [4], samples: [3], seed: 17 }
    return (await runReference(recordSampler(parseSampler(sampler), contextOf(vp, { steps: 16 })), run)).output
  }
  test.each([
    [{ kind: 'unipc', order: 1, corrector: false }, 'ddim'],
    [{ kind: 'unipc', order: 2, corrector: false }, 'dpm++2m'],
    [
      { kind: 'unipc', order: 3, corrector: false, lowerOrderFinal: false },
      { kind: 'dpm++3m', solver: 'midpoint' },
    ],
    [{ kind: 'dpm++2m-sde', eta: 0 }, 'dpm++2m'],
    [
      { kind: 'dpm++3m-sde', eta: 0 },
      { kind: 'dpm++3m', solver: 'heun' },
    ],
    [{ kind: 'dpm++sde', eta: 0 }, 'dpm++2s'],
  ] as const)('%j is %j', async (one, other) => {
    expect(maximumError(await outputOf(one), await outputOf(other))).toBeLessThan(1e-11)
    expect(maximumError(await outputOf(one), await outputOf('dpm-solver-3'))).toBeGreaterThan(1e-4)
  })
})

describe('where a run begins and ends', () => {
  test.each(titled([...stochastic, ...deterministic]))(
    '%s finds the only image in any number of steps, from noise alone too',
    (_, sampler) => {
      for (const schedule of [vp, flow]) {
        for (const steps of [1, 2, 3, 7, 20]) {
          const levels = selectLevels(schedule, { steps })
          const { label, network } = gaussianNetwork({ mean: 0.4, deviation: 0 })
          const context = contextOf(schedule, {}, { levels, label })
          const { output } = runAffine(recordSampler(parseSampler(sampler), context), network)
          const { mean, variance } = moments(output, { x: { mean: 0, variance: 1 } })
          expect(mean).toBeCloseTo(0.4, 11)
          expect(variance).toBeLessThan(1e-20)
        }
      }
    },
  )

  test.each(titled(deterministic))(
    '%s: from noise alone, on a rectified flow, the error falls with the steps',
    (_, sampler) => {
      const data = { mean: 0.4, deviation: 0.6 }
      const [few = 0, many = 0] = [20, 80].map((steps) => {
        const levels = selectLevels(flow, { steps })
        const { label, network } = gaussianNetwork(data)
        const { output } = runAffine(
          recordSampler(parseSampler(sampler), contextOf(flow, {}, { levels, label })),
          network,
        )
        return Math.abs(valueAt(output, { x: 1.7 }) - (0.4 + 0.6 * 1.7))
      })
      expect(many).toBeLessThan(0.5 * few)
    },
  )

  test.each([
    ['dpm-solver-2', 23],
    ['dpm-solver-3', 34],
    ['dpm++2s', 23],
    ['dpm++sde', 23],
    ['dpm++2m', 12],
    ['dpm++3m', 12],
    ['dpm++2m-sde', 12],
    ['dpm++3m-sde', 12],
    ['unipc', 12],
    ['ddim-inversion', 12],
  ] as const)('%s asks the network %d times in 12 steps', (sampler, evaluations) => {
    const { label, network } = gaussianNetwork({ mean: 0.4, deviation: 0.6 })
    const program = recordSampler(parseSampler(sampler), contextOf(vp, { steps: 12 }, { label }))
    expect(runAffine(program, network).evaluations).toBe(evaluations)
  })
})

describe('inversion', () => {
  const data = { mean: 0.4, deviation: 0.6 }

  /** x where the run of a sampler ends that starts from a number. */
  function end(sampler: SamplerOptions, schedule: Schedule, levels: readonly Level[], x: number): number {
    const { label, network } = gaussianNetwork(data)
    const program = recordSampler(parseSampler(sampler), contextOf(schedule, {}, { levels, label }))
    return valueAt(runAffine(program, network).output, { x })
  }

  test.each([
    ['variance-preserving', 0.9, vp],
    // Its last level has no signal, so more steps also go further in lambda: log(steps) / steps.
    ['rectified flow', 0.7, flow],
  ] as const)('and ddim give the image back, up to the step: %s', (_, order, schedule) => {
    const [coarse = 0, fine = 0] = [200, 400].map((steps) => {
      const levels = selectLevels(schedule, { steps })
      return Math.abs(end('ddim', schedule, levels, end('ddim-inversion', schedule, levels, 0.9)) - 0.9)
    })
    expect(fine).toBeLessThan(0.02)
    expect(Math.log2(coarse / fine)).toBeGreaterThan(order)
    expect(Math.log2(coarse / fine)).toBeLessThan(1.1)
  })

  test('to a level without signal the clean image is not lost: ten steps of rectified flow come back to 0.04', () => {
    const levels = selectLevels(flow, { steps: 10 })
    expect(Math.abs(end('ddim', flow, levels, end('ddim-inversion', flow, levels, 0.9)) - 0.9)).toBeLessThan(0.04)
  })

  test('ends near the noise that the exact flow draws the image from', () => {
    const levels = selectLevels(vp, { steps: 1000 })
    const [first = vp.clean] = levels
    const noise = end('ddim-inversion', vp, levels, 0.9)
    const place = (0.9 - data.mean) / data.deviation
    const spread = Math.sqrt(lawAt(data, first).variance)
    expect(Math.abs((noise - lawAt(data, first).mean) / spread - place)).toBeLessThan(0.01)
  })
})

describe('phi', () => {
  test.each([-40, -3, -1.0001, -0.9999, -0.3, -1e-3, -1e-9, 0.2, 0.9999, 1.0001, 4])(
    'phi_k(%d) is the integral of e^((1 - s) z) s^(k-1) / (k-1)! over 0 … 1',
    (at) => {
      const steps = 2000
      const simpson = (f: (s: number) => number): number => {
        let sum = f(0) + f(1)
        for (let i = 1; i < steps; i++) sum += (i % 2 === 0 ? 2 : 4) * f(i / steps)
        return sum / (3 * steps)
      }
      const factorials = [1, 1, 2, 6]
      for (const k of [1, 2, 3, 4]) {
        const exact = simpson((s) => (Math.exp((1 - s) * at) * s ** (k - 1)) / (factorials[k - 1] ?? 1))
        expect(Math.abs(phi(k, at) / exact - 1)).toBeLessThan(1e-8)
      }
    },
  )

  test('keeps its digits where z goes through 1, at which the sum takes over', () => {
    for (const k of [1, 2, 3, 4]) {
      for (const side of [-1, 1]) {
        const [inside, outside] = [phi(k, side * (1 - 1e-15)), phi(k, side)]
        expect(Math.abs(inside / outside - 1)).toBeLessThan(2e-14)
      }
    }
  })
})
