/** Every sampler of the catalog shows the order that it claims, and finds the only image of data that has one. */
import { describe, expect, test } from 'vitest'
import { samplerExpectations } from '../../lib/evaluation/selftest/expectations.js'
import { allowedMiss, checkSampler, orderSlack } from '../../lib/evaluation/selftest/sampler-check.js'
import { measureErrors, missOfOnlyImage } from '../../lib/evaluation/selftest/sampler-errors.js'
import { measureOrder } from '../../lib/evaluation/selftest/sampler-order.js'
import { type SamplerKind, samplers } from '../../lib/sampling/samplers.js'

const kinds = Object.keys(samplers) as SamplerKind[]

/** Orders of the papers, and what is left of them where a start or the noise is of lower order: what a reader looks up. */
const published: Readonly<Record<SamplerKind, number>> = {
  ddpm: 1,
  ddim: 1,
  euler: 1,
  heun: 2,
  edm: 2,
  dpm2: 2,
  'euler-ancestral': 1,
  'dpm2-ancestral': 2,
  lms: 4,
  pndm: 4,
  ipndm: 4,
  deis: 3,
  'dpm-solver-2': 2,
  'dpm-solver-3': 3,
  'dpm-solver-2m': 2,
  'dpm-solver-3m': 3,
  'dpm-solver-2m-sde': 2,
  'dpm-singlestep': 2,
  'dpm++2s': 2,
  'dpm++2s-ancestral': 2,
  'dpm++2m': 2,
  'dpm++3m': 3,
  'dpm++sde': 2,
  'dpm++2m-sde': 2,
  'dpm++3m-sde': 2,
  unipc: 3,
  'ddim-inversion': 1,
  'annealed-langevin': 1,
  'predictor-corrector': 1,
  'runge-kutta': 4,
  rk4: 4,
  'flow-euler': 1,
  'flow-midpoint': 2,
  'flow-heun': 2,
  rk23: 3,
  rk45: 5,
  repaint: 1,
}

describe.each(kinds)('%s', (kind) => {
  test('has its order', async () => {
    const expectation = samplerExpectations[kind]
    expect(expectation?.order).toBe(published[kind])
    const { order, process } = await measureOrder(samplers[kind], expectation)
    expect(order).toBeGreaterThan(published[kind] - orderSlack)
    // Better than it should be would say that something else is measured. Controllers and laws have terms that help.
    expect(order).toBeLessThan(published[kind] + (samplers[kind].adaptive || kind === 'dpm++3m-sde' ? 0.6 : 0.2))
    // A factor of alpha that is forgotten shows only where alpha is not 1. PNDM is of the fourth order on EDM's process.
    expect(process).toBe(kind === 'pndm' ? 'edm' : kind.startsWith('flow-') ? 'rectified-flow' : 'vp-sde')
  })

  test('finds the only image', async () => {
    expect(await missOfOnlyImage(samplers[kind], samplerExpectations[kind])).toBeLessThan(allowedMiss)
  })
})

describe('errors after so many evaluations', () => {
  const budgets = [5, 10, 20, 50]
  const errorsOf = (kind: SamplerKind) => measureErrors(samplers[kind], budgets, samplerExpectations[kind])

  test('fall with them, for solvers without noise', async () => {
    for (const kind of ['ddim', 'heun', 'dpm-solver-3', 'unipc', 'flow-heun'] as const) {
      const { errors, stochastic, fewestEvaluations } = await errorsOf(kind)
      expect(stochastic).toBe(false)
      expect(fewestEvaluations).toBe(1)
      for (const [first, , third, last] of [errors.gaussian, errors.mixture]) {
        expect(last ?? 1, kind).toBeLessThan(0.5 * (third ?? 0))
        expect(last ?? 1, kind).toBeLessThan(0.12 * (first ?? 0))
      }
    }
  })

  test('are those of the law of x where there is noise', async () => {
    for (const kind of ['ddpm', 'repaint'] as const) {
      const { errors, stochastic } = await errorsOf(kind)
      expect(stochastic).toBe(true)
      for (const found of [errors.gaussian, errors.mixture]) {
        expect(found).toEqual(found.toSorted((a, b) => (b ?? 0) - (a ?? 0)))
        expect(found.at(-1)).toBeLessThan(0.3)
      }
    }
  })

  test('are not there where a run takes more', async () => {
    const { errors, fewestEvaluations } = await errorsOf('rk45')
    expect(errors.mixture).toEqual([null, null, null, null])
    expect(fewestEvaluations).toBeGreaterThan(50)
    const small = await errorsOf('rk23')
    expect(small.errors.mixture.slice(0, 3)).toEqual([null, null, null])
    expect(small.errors.mixture[3]).toBeLessThan(0.2)
    expect(small.fewestEvaluations).toBeLessThan(50)
    // More than it takes at all: an error after all.
    expect((await measureErrors(samplers.rk45, [60], samplerExpectations.rk45)).errors.gaussian[0]).toBeLessThan(0.02)
  })
})

test('a sampler of which nothing is claimed is measured, and not judged by its order', async () => {
  const check = await checkSampler(samplers.ddim, undefined)
  expect(check).toMatchObject({ sampler: 'ddim', expectedOrder: null, passes: true, faults: [] })
  expect(check.order).toBeCloseTo(1, 1)
})
