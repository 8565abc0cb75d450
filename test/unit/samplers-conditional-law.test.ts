/**
 * Guidance and inpainting on Gaussian data where closed forms exist. Two normal laws of one deviation s have scores whose
 * combination is that of a third: with guidance of scale w away from N(m_0, s²) to N(m_1, s²) every sampler samples
 * N(m_0 + w (m_1 - m_0), s²), and with a guide whose log-likelihood has slope a in the clean image, times w, N(m + w a s², s²).
 */
import { describe, expect, test } from 'vitest'
import { createSchedule, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { lawOf, runAffine } from '../../lib/evaluation/analytic/affine-program.js'
import { gaussian } from '../../lib/evaluation/analytic/gaussian.js'
import { pairs, selectLevels } from '../../lib/sampling/levels.js'
import { type Denoiser, type SampleOptions, sample } from '../../lib/sampling/sample.js'
import {
  parseSampler,
  recordSampler,
  type SamplerKind,
  type SamplerOptions,
  samplers,
} from '../../lib/sampling/samplers.js'
import { contextOf } from './record-context.js'

const kinds = Object.keys(samplers) as SamplerKind[]
const scheduleFor = (kind: SamplerKind): Schedule =>
  createSchedule(
    parseDiffusion({ schedule: kind.startsWith('flow-') ? 'rectified-flow' : 'vp-sde', timeLabel: 'fraction' })
      .schedule,
  )

const deviation = 0.6
const [from, towards] = [-0.2, 0.5]
const dataAt = (mean: number) => gaussian({ mean, deviation })
const denoiserOf =
  (mean: number): Denoiser =>
  (x, { alpha, sigma, time }) =>
    x.map((value) => dataAt(mean).clean(value, { alpha, sigma, time }))

/** x after every step, and at the end. */
async function pathOf(kind: SamplerKind, options: Omit<SampleOptions, 'shape' | 'sampler'>): Promise<number[][]> {
  const path: number[][] = []
  // RePaint runs where something is painted: here all of it.
  const paints = kind === 'repaint' && { inpaint: { known: [0, 0, 0], mask: [1, 1, 1] } }
  const { data } = await sample({
    shape: [1, 3],
    sampler: kind,
    schedule: scheduleFor(kind),
    steps: 12,
    seed: 3,
    initial: [0.3, -1.1, 1.9],
    ...paints,
    ...options,
    onStep: ({ x }) => void path.push([...x]),
  })
  return [...path, [...data]]
}

/** Largest distance, relative to the size of x where that is above 1. */
function distance(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number {
  expect(a).toHaveLength(b.length)
  return Math.max(
    ...a.flatMap((row, i) =>
      row.map((value, j) => Math.abs(value - (b[i]?.[j] ?? Number.NaN)) / Math.max(1, Math.abs(value))),
    ),
  )
}

describe.each(kinds)('%s', (kind) => {
  const meant = (mean: number) => pathOf(kind, { denoiser: denoiserOf(mean) })

  test('with classifier-free guidance samples the Gaussian that lies further on', async () => {
    const guided = await pathOf(kind, {
      denoiser: (x, level) => denoiserOf(level.condition === 'given' ? towards : from)(x, level),
      guidance: 2.5,
    })
    expect(distance(guided, await meant(from + 2.5 * (towards - from)))).toBeLessThan(1e-9)
  })

  test('with autoguidance goes on from the weaker network', async () => {
    const guided = await pathOf(kind, {
      denoiser: denoiserOf(towards),
      weaker: denoiserOf(from),
      guidance: { kind: 'auto', scale: 2 },
    })
    expect(distance(guided, await meant(from + 2 * (towards - from)))).toBeLessThan(1e-9)
  })

  test('with a guide samples the posterior', async () => {
    const [slope, scale] = [0.7, 1.5]
    // The mean over x_0 given x of exp(slope · x_0) has the logarithm slope · E[x_0 | x], up to a constant.
    const guided = await pathOf(kind, {
      denoiser: denoiserOf(from),
      guides: [{ gradient: (x, level) => x.map((value) => slope * dataAt(from).cleanSlope(value, level)), scale }],
    })
    expect(distance(guided, await meant(from + scale * slope * deviation ** 2))).toBeLessThan(1e-9)
  })
})

test('where the laws have other deviations the guided flow is that of its own equation', async () => {
  // dy / dr = r (w / (s_1² + r²) + (1 - w) / (s_0² + r²)) (y - m) in y = x / alpha, r = sigma / alpha.
  const [scale, mean, narrow, wide] = [2, 0.3, 0.4, 0.7]
  const schedule = scheduleFor('heun')
  const spread = (r: number): number => (narrow ** 2 + r * r) ** (scale / 2) * (wide ** 2 + r * r) ** ((1 - scale) / 2)
  const [first, last] = [6, 0.05]
  const errorOf = async (sampler: SamplerOptions, steps: number): Promise<number> => {
    const ratios = Array.from({ length: steps + 1 }, (_, i) => first * (last / first) ** (i / steps))
    const { alpha } = schedule.atRatio(first)
    let x = Number.NaN
    await sample({
      denoiser: (values, { condition, alpha, sigma, time }) => {
        const data = gaussian({ mean, deviation: condition === 'given' ? narrow : wide })
        return values.map((value) => data.clean(value, { alpha, sigma, time }))
      },
      guidance: scale,
      shape: [1, 1],
      sampler,
      schedule,
      spacing: { kind: 'ratios', ratios },
      initial: [alpha * 3],
      onStep: (step) => {
        if (step.step === steps) x = step.x[0] ?? Number.NaN
      },
    })
    const exact = mean + ((3 - mean) * spread(last)) / spread(first)
    return Math.abs(x / schedule.atRatio(last).alpha - exact)
  }
  for (const [sampler, order] of [
    ['ddim', 1],
    ['heun', 2],
    ['dpm++2m', 2],
    ['rk4', 4],
  ] as const) {
    const errors = [await errorOf(sampler, 80), await errorOf(sampler, 160), await errorOf(sampler, 320)]
    for (const [coarse, fine] of pairs(errors)) {
      expect(Math.abs(Math.log2(coarse / fine) - order), sampler).toBeLessThan(0.2)
    }
  }
})

describe('beside what is known of an image whose elements are independent', () => {
  const data = { mean: 0.4, deviation: 0.6 }
  const known = 0.7
  /** Those that cannot put something back: they have no levels in common, or go the other way. */
  const cannot: readonly SamplerKind[] = ['rk23', 'rk45', 'ddim-inversion']

  /** The law of x after every step, where everything is to be drawn (mask 1), or nothing is. */
  function laws(kind: SamplerKind, inpaint: boolean, mask: number) {
    const schedule = scheduleFor(kind)
    const levels = selectLevels(schedule, { steps: 10 })
    const seen: Level[] = []
    const context = contextOf(schedule, {}, { levels, inpaint, label: (level) => seen.push(level) - 1 })
    const { clean, cleanSlope, moments } = gaussian(data)
    const start = moments(levels[0] ?? schedule.clean)
    const network = (label: number) => {
      const level = seen[label] ?? schedule.clean
      return { gain: cleanSlope(0, level), offset: clean(0, level) }
    }
    const { steps } = runAffine(recordSampler(parseSampler(kind), context), network, { x: start, mask, known })
    return { steps: steps.map(({ x }) => lawOf(x, { x: start })), levels }
  }

  test.each(kinds.filter((kind) => !cannot.includes(kind)))(
    '%s: the known part has its own law at every level, and the rest that of a run without it',
    (kind) => {
      const { steps, levels } = laws(kind, true, 0)
      expect(steps).toHaveLength(10)
      for (const [i, { mean, deviation }] of steps.entries()) {
        const { alpha, sigma } = levels[i + 1] ?? levels[0] ?? { alpha: Number.NaN, sigma: Number.NaN }
        expect(mean).toBeCloseTo(alpha * known, 12)
        expect(deviation).toBeCloseTo(sigma, 12)
      }
      // With so few steps RePaint never goes back: it is DDPM.
      const plain = laws(kind === 'repaint' ? 'ddpm' : kind, false, 1).steps
      for (const [i, { mean, deviation }] of laws(kind, true, 1).steps.entries()) {
        const exact = plain[i] ?? { mean: Number.NaN, deviation: Number.NaN }
        expect(Math.abs(mean - exact.mean)).toBeLessThan(1e-9 * Math.max(1, Math.abs(mean)))
        expect(Math.abs(deviation - exact.deviation)).toBeLessThan(1e-9 * Math.max(1, deviation))
      }
    },
  )
})
