/** What samplers in sigma / alpha do exactly: the law of x with noise, which of them are one, and where they begin and end. */
import { describe, expect, test } from 'vitest'
import { continuousSchedule } from '../../lib/diffusion/continuous-schedule.js'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import { straight } from '../../lib/diffusion/discrete-schedule.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { runReference } from '../../lib/sampling/reference-executor.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { gaussianNetwork, lawAt, moments, runAffine, valueAt } from './affine-program.js'
import { maximumError } from './closeness.js'
import type { Gaussian } from './gaussian.js'
import { contextOf } from './record-context.js'

const vp = createSchedule(parseDiffusion({ schedule: { kind: 'linear', steps: 4000, scaleToSteps: true } }).schedule)

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
  { kind: 'edm', churn: 40 },
  { kind: 'edm', churn: 10, order: 1, minimum: 0.05, maximum: 50 },
  { kind: 'euler-ancestral' },
  { kind: 'euler-ancestral', eta: 0.4 },
  { kind: 'dpm2-ancestral' },
  { kind: 'dpm2-ancestral', eta: 0.4 },
]
const deterministic: readonly SamplerOptions[] = [
  'euler',
  'heun',
  'edm',
  'dpm2',
  'lms',
  'ipndm',
  { kind: 'pndm' },
  { kind: 'pndm', start: 'heun' },
  { kind: 'deis' },
  { kind: 'deis', variable: 'time' },
]
const titled = (samplers: readonly SamplerOptions[]) => samplers.map((one) => [JSON.stringify(one), one] as const)

describe('the law of x with added noise', () => {
  test.each(titled(stochastic))('%s is exact at every level for a single image', (_, sampler) => {
    for (const { actual, exact } of lawsOf(sampler, { mean: 0.4, deviation: 0 }, vp, selectLevels(vp, { steps: 17 }))) {
      expect(Math.abs(actual.mean - exact.mean)).toBeLessThan(1e-12)
      expect(Math.abs(actual.variance - exact.variance)).toBeLessThan(1e-12)
    }
  })

  test.each([
    [{ kind: 'euler-ancestral' }, 1],
    [{ kind: 'dpm2-ancestral' }, 2],
    [{ kind: 'edm', churn: 10, order: 1 }, 1],
    [{ kind: 'edm', churn: 10 }, 2],
  ] as const)('%j: the mean is exact at every level, the variance errs by O(steps^-%d)', (sampler, order) => {
    const data = { mean: 0.4, deviation: 0.6 }
    const errors = [100, 200, 400].map((steps) => {
      // Even steps of log r from 50 to 0.05; the step to the clean image, of a size of its own, is left out.
      const ratios = Array.from({ length: steps + 1 }, (_, i) => 50 * 1e-3 ** (i / steps))
      const levels = [...ratios.map((ratio) => vp.atRatio(ratio)), vp.clean]
      const laws = lawsOf(sampler, data, vp, levels).slice(0, -1)
      for (const { actual, exact } of laws) expect(Math.abs(actual.mean - exact.mean)).toBeLessThan(1e-11)
      return Math.max(...laws.map(({ actual, exact }) => Math.abs(actual.variance / exact.variance - 1)))
    })
    const [a = 0, b = 0, c = 0] = errors
    expect(c).toBeLessThan(0.04)
    for (const measured of [Math.log2(a / b), Math.log2(b / c)]) expect(Math.abs(measured - order)).toBeLessThan(0.3)
  })

  test('noiseScale makes the noise of the churn larger, and minimum and maximum say where', () => {
    const levels = selectLevels(vp, { steps: 10 })
    const ratios = levels.map(({ alpha, sigma }) => sigma / alpha)
    const { label, network } = gaussianNetwork({ mean: 0, deviation: 0 })
    const settings = parseSampler({ kind: 'edm', churn: 1, minimum: 1, maximum: 20, noiseScale: 1.1 })
    const { steps } = runAffine(recordSampler(settings, contextOf(vp, {}, { levels, label })), network)
    const drawn = steps.map(({ x }, i) => x.coefficients.has(`churn ${i}`))
    expect(drawn).toEqual(ratios.slice(0, -1).map((ratio) => ratio >= 1 && ratio <= 20))
    // gamma 0.1 of algorithm 2; the flow of a single image then scales noise as it scales sigma.
    const first = drawn.indexOf(true)
    const added = 1.1 * Math.sqrt(1.1 ** 2 - 1) * (levels[first]?.sigma ?? 0)
    const shrink = (levels[first + 1]?.sigma ?? 0) / (1.1 * (levels[first]?.sigma ?? 1))
    expect(steps[first]?.x.coefficients.get(`churn ${first}`)).toBeCloseTo(added * shrink, 12)
  })

  test('an interval that holds nothing is refused', () => {
    expect(() =>
      recordSampler(parseSampler({ kind: 'edm', minimum: 2, maximum: 1 }), contextOf(vp, { steps: 4 })),
    ).toThrow(/Expected at least `minimum` \(2\) for `maximum` but received 1/)
  })
})

describe('samplers that are the same where they should be', () => {
  const network = (x: Float64Array, cNoise: number): Float64Array =>
    x.map((value, i) => Math.tanh(1.3 * value - 0.4 * (x[x.length - 1 - i] ?? 0) + cNoise / 900))
  const outputOf = async (sampler: SamplerOptions, schedule = vp) => {
    const run = { network, inputs: { x: [0.3, -1, 2, 0.1] }, shape: [4], samples: [3], seed: 17 }
    return (await runReference(recordSampler(parseSampler(sampler), contextOf(schedule, { steps: 12 })), run)).output
  }
  test.each([
    ['euler', { kind: 'ddim' }],
    [{ kind: 'euler-ancestral' }, { kind: 'ddpm' }],
    [
      { kind: 'euler-ancestral', eta: 0.6 },
      { kind: 'ddim', eta: 0.6 },
    ],
    [{ kind: 'euler-ancestral', eta: 0 }, 'euler'],
    [{ kind: 'dpm2-ancestral', eta: 0 }, 'dpm2'],
    ['edm', 'heun'],
    [{ kind: 'edm', order: 1 }, 'euler'],
    [{ kind: 'edm', churn: 40, minimum: 1000 }, 'heun'],
    [{ kind: 'lms', order: 1 }, 'euler'],
    [{ kind: 'deis', order: 1 }, 'euler'],
    [{ kind: 'ipndm', order: 1 }, 'euler'],
  ] as const)('%j is %j', async (one, other) => {
    expect(maximumError(await outputOf(one), await outputOf(other))).toBeLessThan(1e-12)
    expect(
      maximumError(await outputOf(one, vp), await outputOf({ kind: 'ddpm', variance: 'fixed-large' })),
    ).toBeGreaterThan(1e-4)
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
          expect(mean).toBeCloseTo(0.4, 12)
          expect(variance).toBeLessThan(1e-24)
        }
      }
    },
  )

  test('rectified flow begins where no signal is left, and the error still falls with the steps', () => {
    const data = { mean: 0.4, deviation: 0.6 }
    for (const sampler of deterministic) {
      const errors = [20, 80].map((steps) => {
        const levels = selectLevels(flow, { steps })
        const { label, network } = gaussianNetwork(data)
        const { output } = runAffine(
          recordSampler(parseSampler(sampler), contextOf(flow, {}, { levels, label })),
          network,
        )
        return Math.abs(valueAt(output, { x: 1.7 }) - (0.4 + 0.6 * 1.7))
      })
      expect(errors[1]).toBeLessThan(0.5 * (errors[0] ?? 0))
    }
  })

  test.each([
    ['euler', 12],
    ['heun', 23],
    ['edm', 23],
    ['dpm2', 23],
    ['euler-ancestral', 12],
    ['dpm2-ancestral', 23],
    ['lms', 12],
    ['ipndm', 12],
    ['deis', 12],
    [{ kind: 'pndm' }, 12 + 3 * 3],
    [{ kind: 'pndm', start: 'heun' }, 12 + 1],
  ] as const)('%j asks the network %d times in 12 steps', (sampler, evaluations) => {
    const { label, network } = gaussianNetwork({ mean: 0.4, deviation: 0.6 })
    const program = recordSampler(parseSampler(sampler), contextOf(vp, { steps: 12 }, { label }))
    expect(runAffine(program, network).evaluations).toBe(evaluations)
  })
})
