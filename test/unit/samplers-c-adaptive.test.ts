/** Samplers that choose their steps: do they hold their bounds, and is every sample its own? */
import { describe, expect, test } from 'vitest'
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { Schedule } from '../../lib/diffusion/schedule.js'
import { integrateAdaptively } from '../../lib/sampling/adaptive-runge-kutta.js'
import { embeddedTableaus } from '../../lib/sampling/runge-kutta-tableau.js'
import { type Denoiser, type SampleOptions, type SampleResult, sample, sampleSteps } from '../../lib/sampling/sample.js'
import { exactFlow } from './affine-program.js'
import { maximumError } from './closeness.js'
import { exactClean } from './gaussian.js'
import { mixtureClean } from './mixture.js'

const kinds = ['rk45', 'rk23'] as const
const scheduleOf = (schedule: DiffusionOptions['schedule']): Schedule =>
  createSchedule(parseDiffusion({ schedule }).schedule)
const mixture: Denoiser = (x, level) => x.map((value) => mixtureClean(level, value))

const gaussian = { mean: 0.4, deviation: 0.6 }

/** The largest error of some samples, and the most evaluations that one took. */
async function gaussianRun(
  kind: (typeof kinds)[number],
  schedule: Schedule,
  tolerance: number,
  starts: readonly number[],
) {
  const [first, last] = [schedule.level(schedule.noisiest), schedule.level(schedule.cleanest)]
  const initial = starts.map((start) => first.alpha * gaussian.mean + start * first.sigma)
  const { data, evaluations } = await sample({
    denoiser: (x, level) => x.map((value) => exactClean(gaussian, level, value)),
    shape: [starts.length, 1],
    sampler: { kind, rtol: tolerance, atol: tolerance },
    schedule,
    initial,
  })
  const exact = initial.map((x) => exactClean(gaussian, last, exactFlow(gaussian, first, last, x)))
  return { error: maximumError(data, exact), evaluations }
}

describe.each(kinds)('%s on Gaussian data', (kind) => {
  test.each([
    ['vp-sde'],
    ['sub-vp-sde'],
    ['ve-sde'],
    ['edm'],
    ['rectified-flow'],
    ['linear'],
    [{ kind: 'rectified-flow', noisiest: 1 }],
  ] as const)('errs about as much as it is allowed, with schedule %j', async (name) => {
    for (const tolerance of [1e-3, 1e-5]) {
      const { error } = await gaussianRun(kind, scheduleOf(name), tolerance, [-2.1, 0.7])
      expect(error).toBeLessThan(10 * tolerance)
      expect(error).toBeGreaterThan(1e-4 * tolerance)
    }
  })

  test('asks so much more for a hundredth of the error as its order says', async () => {
    const schedule = scheduleOf('ve-sde')
    const runs = [1e-5, 1e-7].map((tolerance) => gaussianRun(kind, schedule, tolerance, [0.7]))
    const [loose, tight] = await Promise.all(runs)
    expect((loose?.error ?? 0) / (tight?.error ?? 0)).toBeGreaterThan(30)
    const growth = (tight?.evaluations ?? 0) / (loose?.evaluations ?? 1)
    // The error of a step is of order h^5, h^3: 100^(1/5) = 2.5, 100^(1/3) = 4.6.
    expect(Math.abs(growth / { rk45: 2.5, rk23: 4.6 }[kind] - 1)).toBeLessThan(0.25)
  })
})

describe.each(kinds)('with %s every sample is its own', (kind) => {
  const samples = Array.from({ length: 16 }, (_, n) => 3 * n + 1)
  const run = (keys: readonly number[]): Promise<SampleResult> =>
    sample({
      denoiser: mixture,
      shape: [keys.length, 3],
      sampler: { kind, rtol: 1e-3, atol: 1e-3 },
      schedule: scheduleOf('vp-sde'),
      seed: 5,
      samples: keys,
      clip: { kind: 'range' },
    })

  test('alone, in company, and in another order it has the same bytes', async () => {
    const { data } = await run(samples)
    const rows = samples.map((_, n) => [...data.subarray(3 * n, 3 * n + 3)])
    const alone = await Promise.all(samples.map(async (key) => [...(await run([key])).data]))
    expect(alone).toEqual(rows)
    const backwards = await run(samples.toReversed())
    expect([...backwards.data]).toEqual(rows.toReversed().flat())
  })

  test('and the error that is allowed is that of an element, however many there are', async () => {
    const evaluationsOf = async (elements: number): Promise<number> => {
      const initial = new Float64Array(elements).fill(0.8)
      const result = await sample({
        denoiser: mixture,
        shape: [1, elements],
        sampler: kind,
        schedule: 'vp-sde',
        initial,
      })
      return result.evaluations
    }
    expect(await evaluationsOf(500)).toBe(await evaluationsOf(1))
  })

  test('and takes as many steps as it needs', async () => {
    const counts = await Promise.all(samples.map(async (key) => (await run([key])).evaluations))
    expect(new Set(counts).size).toBeGreaterThan(1)
    expect((await run(samples)).evaluations).toBe(Math.max(...counts))
  })
})

describe('an adaptive run', () => {
  const schedule = scheduleOf('vp-sde')
  const conditional: Denoiser = (x, level) =>
    x.map((value) => (level.condition === 'given' ? 1 : 0.8) * mixtureClean(level, value))
  const base = {
    denoiser: conditional,
    shape: [2, 3],
    schedule,
    initial: [0.3, -1.2, 0.8, 1.7, -0.1, -2.2],
    spacing: 'exponential',
  } as const
  const precise = { kind: 'rk45', rtol: 1e-8, atol: 1e-8 } as const
  // Guidance that begins at a level, and clips, bend the flow: there the fixed steps err.
  const [smooth, bent] = [2e-7, 1e-4]
  const edits: readonly (readonly [string, number, Partial<SampleOptions>])[] = [
    ['plain', smooth, {}],
    ['guided', smooth, { guidance: 2.5 }],
    [
      'guided within an interval, and rescaled',
      bent,
      { guidance: { kind: 'classifier-free', scale: 2, high: 1, rescale: 0.7 } },
    ],
    ['clipped', bent, { clip: { kind: 'range', low: -0.4, high: 0.4 } }],
    ['under a threshold', bent, { clip: { kind: 'dynamic', quantile: 0.5, low: 0.2, high: 0.5 } }],
    ['with a guide', smooth, { guides: [{ scale: 0.5, gradient: (x) => x.map((value) => 0.3 - value) }] }],
    [
      'of another prediction',
      smooth,
      { prediction: 'velocity', denoiser: (x) => x.map((value) => Math.tanh(value) - 0.2) },
    ],
    ['from an image', smooth, { image: { data: [0.5, 0.2, -0.5, 0.1, 0, 1], strength: 0.5 } }],
  ]
  test.each(edits)('%s, goes where small fixed steps go', async (_, tolerance, edit) => {
    const fixed = await sample({ ...base, ...edit, sampler: 'rk4', steps: 300 })
    const adaptive = await sample({ ...base, ...edit, sampler: precise, steps: 300 })
    expect(maximumError(adaptive.data, fixed.data)).toBeLessThan(tolerance)
    const otherwise = await sample({ ...base, sampler: precise })
    if (Object.keys(edit).length > 0) expect(maximumError(adaptive.data, otherwise.data)).toBeGreaterThan(1e-2)
  })

  test('shows how far it is', async () => {
    const fractions: number[] = []
    const steps: number[] = []
    for await (const { step, fraction, x } of sampleSteps({ ...base, sampler: 'rk45' }) as AsyncIterable<{
      step: number
      fraction: number
      x: Float64Array
    }>) {
      steps.push(step)
      fractions.push(fraction)
      expect(x.length).toBe(6)
    }
    expect(steps).toEqual(steps.map((_, n) => n + 1))
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b))
    expect(fractions.at(-1)).toBe(1)
  })

  test('ends where it is allowed no more evaluations, saying how far it came', async () => {
    await expect(sample({ ...base, sampler: { kind: 'rk45', maxEvaluations: 20 } })).rejects.toThrow(
      /Sample 0 is \d+ % of the way after 19 evaluations.*maxEvaluations.* is 20/,
    )
  })

  test('stops at numbers that are none', async () => {
    const broken = sample({ ...base, sampler: 'rk23', denoiser: (x) => x.map(() => Number.NaN) })
    await expect(broken).rejects.toMatchObject({ code: 'DPM_NON_FINITE' })
  })

  test('stops when it is told to', async () => {
    const controller = new AbortController()
    const steps = sampleSteps({ ...base, sampler: 'rk45', signal: controller.signal })
    await steps.next()
    controller.abort()
    await expect(steps.next()).rejects.toMatchObject({ code: 'DPM_ABORTED' })
  })

  test('refuses to inpaint, and says what a denoiser that fails said', async () => {
    const inpaint = { known: new Float64Array(6), mask: new Float64Array(6) }
    await expect(sample({ ...base, sampler: 'rk45', inpaint })).rejects.toThrow(/rk45.*inpaint/)
    const failing = sample({
      ...base,
      sampler: 'rk45',
      denoiser: () => {
        throw new Error('no such weights')
      },
    })
    await expect(failing).rejects.toThrow('no such weights')
  })
})

test('the integrator solves equations of other speeds side by side, to the accuracy asked for', async () => {
  // dy / du = -speed · (y - cos u), whose solution from its slow part is known.
  const speeds = [0.5, 3, 40]
  const slow = (speed: number, u: number) => (speed * (speed * Math.cos(u) + Math.sin(u))) / (1 + speed * speed)
  const asked: number[][] = []
  const integration = integrateAdaptively(
    {
      count: 3,
      y: Float64Array.from(speeds, (speed) => slow(speed, 2) + 1),
      start: 2,
      end: 5,
      firstStep: 0.01,
      slope: async (u, y, systems) => {
        asked.push([...systems])
        return y.map((value, n) => -(speeds[systems[n] ?? 0] ?? 0) * (value - Math.cos(u[n] ?? 0)))
      },
    },
    embeddedTableaus['dormand-prince'],
    { rtol: 1e-9, atol: 1e-9, maxEvaluations: 100_000 },
  )
  let next = await integration.next()
  while (!next.done) next = await integration.next()
  const exact = speeds.map((speed) => slow(speed, 5) + Math.exp(-3 * speed))
  expect(maximumError(next.value.y, exact)).toBeLessThan(1e-7)
  const [first = 0, , third = 0] = next.value.evaluations
  expect(third).toBeGreaterThan(3 * first)
  // Who has arrived is not asked again.
  expect(asked.at(-1)).toEqual([2])
})
