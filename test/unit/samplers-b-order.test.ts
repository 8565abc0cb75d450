/** How fast the error of the solvers in lambda falls, on data whose probability flow is known. */
import { describe, expect, test } from 'vitest'
import { continuousSchedule } from '../../lib/diffusion/continuous-schedule.js'
import { type Family, straight, varianceExploding, variancePreserving } from '../../lib/diffusion/discrete-schedule.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { referenceSteps } from '../../lib/sampling/reference-executor.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../../lib/sampling/samplers.js'
import { exactFlow, gaussianNetwork, runAffine, valueAt } from './affine-program.js'
import { contextOf } from './record-context.js'

const data = { mean: 0.4, deviation: 0.6 }

/** sigma / alpha is exp(time). */
function logarithmic(family: Family): Schedule {
  return continuousSchedule({
    name: 'logarithmic',
    cleanest: -20,
    noisiest: 5,
    cleanTime: -1000,
    at: (time) => family.fromRatio(Math.exp(time)),
    timeAtRatio: Math.log,
    family,
  })
}
const vp = logarithmic(variancePreserving)

/** How far, from 0 to 1 in lambda, a run has come at a share u of its steps. */
type Spread = (u: number) => number
const even: Spread = (u) => u
/** First steps of the size of the square of the others: what they lack in order is then of the fourth order. */
const slowStart: Spread = (u) => u * u * (1.5 - 0.5 * u)

/** sigma / alpha from 6 down to 0.2. */
function levelsOf(schedule: Schedule, steps: number, spread: Spread): readonly Level[] {
  return Array.from({ length: steps + 1 }, (_, i) => schedule.atRatio(6 * (0.2 / 6) ** spread(i / steps)))
}

/**
 * x / alpha at the levels on the way of the flow to sigma / alpha 0.2; after it comes the step to the clean image, in which
 * all are of first order.
 */
function flowOf(sampler: SamplerOptions, steps: number, spread: Spread, schedule: Schedule) {
  const levels = levelsOf(schedule, steps, spread)
  const { label, network } = gaussianNetwork(data)
  const context = contextOf(schedule, {}, { levels: [...levels, schedule.clean], label })
  const run = runAffine(recordSampler(parseSampler(sampler), context), network)
  const first = levels[0] ?? schedule.clean
  const start = first.alpha * data.mean + 1.7 * first.sigma
  return levels.slice(1).map((level, i) => {
    const x = run.steps[i]?.x
    return {
      reached: (x ? valueAt(x, { x: start }) : Number.NaN) / level.alpha,
      exact: exactFlow(data, first, level, start) / level.alpha,
    }
  })
}

function errorOf(sampler: SamplerOptions, steps: number, spread: Spread): number {
  return Math.max(...flowOf(sampler, steps, spread, vp).map(({ reached, exact }) => Math.abs(reached - exact)))
}

const unipc = (
  order: number,
  change: { corrector?: boolean; variant?: 'bh1' | 'bh2'; form?: 'clean' | 'noise' } = {},
): SamplerOptions => ({
  kind: 'unipc',
  order,
  lowerOrderFinal: false,
  ...change,
})

/** What each should do: from its first step on, and with a slow start. */
const orders: readonly (readonly [SamplerOptions, number, number])[] = [
  ['dpm-solver-2', 2, 2],
  [{ kind: 'dpm-solver-2', solver: 'heun' }, 2, 2],
  ['dpm-solver-3', 3, 3],
  ['dpm++2s', 2, 2],
  [{ kind: 'dpm++2s', solver: 'heun' }, 2, 2],
  [{ kind: 'dpm++sde', eta: 0 }, 2, 2],
  [{ kind: 'dpm++2s-ancestral', eta: 0 }, 2, 2],
  ['dpm-solver-2m', 2, 2],
  [{ kind: 'dpm-solver-2m', solver: 'heun' }, 2, 2],
  [{ kind: 'dpm-solver-2m-sde', eta: 0 }, 2, 2],
  [{ kind: 'dpm-solver-2m-sde', eta: 0, order: 1 }, 1, 1],
  ['dpm-solver-3m', 2, 3],
  [{ kind: 'dpm-solver-3m', curvature: 'half' }, 2, 2],
  ['dpm++2m', 2, 2],
  [{ kind: 'dpm++2m', solver: 'heun' }, 2, 2],
  [{ kind: 'dpm++2m-sde', eta: 0 }, 2, 2],
  // The first step, of first order, errs by the square of its size, whatever comes after.
  ['dpm++3m', 2, 3],
  [{ kind: 'dpm++3m-sde', eta: 0 }, 2, 3],
  [{ kind: 'dpm++3m', curvature: 'half' }, 2, 2],
  [unipc(1, { form: 'noise', corrector: false }), 1, 1],
  [unipc(2, { form: 'noise' }), 2, 3],
  [unipc(3, { form: 'noise', variant: 'bh1' }), 2, 4],
  [unipc(3, { form: 'noise', corrector: false }), 2, 3],
  ...(['bh1', 'bh2'] as const).flatMap(
    (variant) =>
      [
        [unipc(1, { variant, corrector: false }), 1, 1],
        [unipc(2, { variant, corrector: false }), 2, 2],
        [unipc(3, { variant, corrector: false }), 2, 3],
        [unipc(1, { variant }), 2, 2],
        [unipc(2, { variant }), 2, 3],
        [unipc(3, { variant }), 2, 4],
      ] as const,
  ),
]

describe('half the step, 2^order times less error', () => {
  test.each(orders.map((row) => [JSON.stringify(row[0]), row[1], row[2], row[0]] as const))(
    '%s: order %d, with a slow start %d',
    (_, plain, slow, sampler) => {
      for (const [spread, order] of [
        [even, plain],
        [slowStart, slow],
      ] as const) {
        const [coarse = 0, fine = 0] = [80, 160].map((steps) => errorOf(sampler, steps, spread))
        const measured = Math.log2(coarse / fine)
        expect(measured).toBeGreaterThan(order - 0.2)
        expect(measured).toBeLessThan(order + 0.2)
      }
    },
  )

  test.each(orders.map(([sampler]) => [JSON.stringify(sampler), sampler] as const))(
    '%s takes x / alpha the same way whatever alpha is',
    (_, sampler) => {
      const reference = flowOf(sampler, 12, even, vp)
      for (const family of [varianceExploding, straight]) {
        flowOf(sampler, 12, even, logarithmic(family)).forEach(({ reached }, i) => {
          expect(Math.abs(reached - (reference[i]?.reached ?? 0))).toBeLessThan(1e-12)
        })
      }
    },
  )
})

/**
 * Data that is -1 or 1: the clean image is tanh(alpha x / sigma²), so the order is measured where the denoiser bends. The
 * reference takes so many steps of dpm-solver-3 that it errs by less than 1e-10.
 */
describe('the same on two images', () => {
  const draw = async (sampler: SamplerOptions, steps: number): Promise<number> => {
    const levels = [...levelsOf(vp, steps, slowStart), vp.clean]
    const labels: Level[] = []
    const context = contextOf(vp, {}, { levels, label: (level) => labels.push(level) - 1 })
    const program = recordSampler(parseSampler(sampler), context)
    const network = (x: Float64Array, cNoise: number) => {
      const { alpha, sigma } = labels[cNoise] ?? vp.clean
      return x.map((value) => Math.tanh((alpha * value) / sigma ** 2))
    }
    let last = Number.NaN
    const run = { network, inputs: { x: [0.3] }, shape: [1], samples: [0], seed: 0 }
    for await (const { step, x } of referenceSteps(program, run)) if (step === steps) last = x[0] ?? Number.NaN
    return last
  }
  const reference = draw('dpm-solver-3', 1500)

  test.each(orders.map((row) => [JSON.stringify(row[0]), row[2], row[0]] as const))(
    '%s: order %d',
    async (_, order, sampler) => {
      const exact = await reference
      const [coarse, fine] = [await draw(sampler, 200), await draw(sampler, 400)]
      const measured = Math.log2(Math.abs(coarse - exact) / Math.abs(fine - exact))
      expect(measured).toBeGreaterThan(order - 0.35)
      expect(measured).toBeLessThan(order + 0.5)
    },
  )
})
