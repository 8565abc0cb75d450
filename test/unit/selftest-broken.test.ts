/** Samplers with a slip in their formula: each is one that runs without complaint and draws something. */
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { posterior } from '../../lib/diffusion/posterior.js'
import { ratioOf } from '../../lib/diffusion/schedule.js'
import { checkSampler } from '../../lib/evaluation/selftest/sampler-check.js'
import { adaptiveFlow } from '../../lib/sampling/adaptive-flow.js'
import {
  defineAdaptiveSampler,
  defineSampler,
  type RecordedSampler,
  type SamplerDefinition,
  type SamplerVerbs,
  type Value,
} from '../../lib/sampling/define-sampler.js'
import { pairs } from '../../lib/sampling/levels.js'
import { flowPoint, flowTo, spansFiniteRatios } from '../../lib/sampling/probability-flow.js'
import { embeddedTableaus } from '../../lib/sampling/runge-kutta-tableau.js'

type Formula = (x: Value, verbs: SamplerVerbs<unknown>) => Value

function sampler(name: string, formula: Formula): RecordedSampler {
  const schema = z.strictObject({ kind: z.literal(name) })
  return defineSampler(name, schema, formula as never) as unknown as RecordedSampler
}

/** Heun's method whose second direction counts by a share of the step, which should be a half. */
const heunWith = (share: number) =>
  sampler('heun-of-mine', (x, verbs) => {
    let at = x
    for (const [from, to] of pairs(verbs.levels)) {
      const start = flowPoint(at, from, verbs)
      let end = verbs.combine(flowTo(start, to))
      if (spansFiniteRatios(from, to)) {
        const { direction } = flowPoint(end, to, verbs)
        end = verbs.combine(flowTo(start, to, [[share * (ratioOf(to) - ratioOf(from)), direction]]))
      }
      at = verbs.emit(end, start.clean)
    }
    return at
  })

/** DDIM's step with what the clean image counts by. */
const ddimWith = (cleanFactor: (keep: number, from: number, to: number) => number) =>
  sampler('ddim-of-mine', (x, { levels, denoise, combine, emit }) => {
    let at = x
    for (const [from, to] of pairs(levels)) {
      const clean = denoise(at, from)
      const keep = to.sigma / from.sigma
      at = emit(
        combine([
          [keep, at],
          [cleanFactor(keep, from.alpha, to.alpha), clean],
        ]),
        clean,
      )
    }
    return at
  })

/** Ancestral sampling with the noise of a step. */
const ancestralWith = (noise: (variance: number) => number, key: (step: number) => number = (step) => step) =>
  sampler('ddpm-of-mine', (x, verbs) => {
    let at = x
    for (const [step, [from, to]] of pairs(verbs.levels).entries()) {
      const clean = verbs.denoise(at, from)
      const q = posterior(from, to)
      const spread = noise(q.variance)
      at = verbs.emit(
        verbs.combine([
          [q.meanNoisy, at],
          [q.meanClean, clean],
          ...(spread > 0 ? [[spread, verbs.noise(key(step))] as const] : []),
        ]),
        clean,
      )
    }
    return at
  })

/** DDIM that forgets to come to the clean image at its end. */
const unfinished = sampler('unfinished', (x, { levels, denoise, combine, emit }) => {
  let at = x
  for (const [from, to] of pairs(levels)) {
    const clean = denoise(at, from)
    const keep = to.sigma === 0 ? 0.5 : to.sigma / from.sigma
    at = emit(
      combine([
        [keep, at],
        [to.alpha - keep * from.alpha, clean],
      ]),
      clean,
    )
  }
  return at
})

const tolerances = { rtol: z.number(), atol: z.number(), maxEvaluations: z.int().default(10_000) }
/** Dormand and Prince's method with a tableau, which may have a slip. */
const adaptiveWith = (tableau: (typeof embeddedTableaus)['dormand-prince']) =>
  defineAdaptiveSampler(
    'adaptive-of-mine',
    z.strictObject({ kind: z.literal('adaptive-of-mine'), ...tolerances }),
    (problem, settings) => adaptiveFlow(problem, tableau, settings),
  ) as unknown as SamplerDefinition

const { weights } = embeddedTableaus['dormand-prince']
const slip = { ...embeddedTableaus['dormand-prince'], weights: weights.with(2, (weights[2] ?? 0) * 1.01) }
const lawGrid = { grid: 'even-logarithms' } as const

describe('a slip in a formula is found out', () => {
  test.each([
    ['a trapezoid whose sides do not count the same', heunWith(0.4), { order: 2 }, /order 0\.\d\d, expected 2/],
    ['a factor of alpha left out of DDIM', ddimWith((keep) => 1 - keep), { order: 1 }, /order -?0\.\d\d, expected 1/],
    [
      'a clean image that counts for too much',
      ddimWith((keep, from, to) => 1.02 * (to - keep * from)),
      { order: 1 },
      /order/,
    ],
    ['variance for deviation', ancestralWith((variance) => variance), { order: 1, ...lawGrid }, /order/],
    ['no noise at all', ancestralWith(() => 0), { order: 1, ...lawGrid }, /order/],
    ['the same noise in every step', ancestralWith(Math.sqrt, () => 0), { order: 1, ...lawGrid }, /order/],
    ['a last step that stops half way', unfinished, { order: 1 }, /ends .* from the only image/],
    [
      'a weight of a Runge–Kutta method that is 1 % too large',
      adaptiveWith(slip),
      { order: 5 },
      /after \d+ evaluations/,
    ],
  ] as const)('%s', async (_, broken, expectation, message) => {
    const check = await checkSampler(broken, expectation)
    expect(check.passes).toBe(false)
    expect(check.faults.join('\n')).toMatch(message)
  })

  test('without the slip all of them pass', async () => {
    for (const [right, expectation] of [
      [heunWith(0.5), { order: 2 }],
      [ddimWith((keep, from, to) => to - keep * from), { order: 1 }],
      [ancestralWith(Math.sqrt), { order: 1, ...lawGrid }],
      [adaptiveWith(embeddedTableaus['dormand-prince']), { order: 5 }],
    ] as const) {
      expect((await checkSampler(right, expectation)).faults).toEqual([])
    }
  })

  test('an order that cannot be measured is not taken for granted', async () => {
    const clipped = sampler('clipped', (x, { levels, denoise, combine, noise, clip, emit }) => {
      let at = x
      for (const [step, [from, to]] of pairs(levels).entries()) {
        const clean = clip(denoise(at, from), -9, 9)
        at = emit(
          combine([
            [to.alpha, clean],
            [to.sigma, noise(step)],
          ]),
          clean,
        )
      }
      return at
    })
    const check = await checkSampler(clipped, { order: 1, ...lawGrid })
    expect(check.faults).toEqual(['order cannot be measured, expected 1'])
  })
})
