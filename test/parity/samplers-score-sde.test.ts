/** Predictor–corrector sampling, annealed Langevin dynamics and the adaptive ODE against yang-song/score_sde_pytorch. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../lib/diffusion/diffusion-options.js'
import type { Schedule } from '../../lib/diffusion/schedule.js'
import { normals } from '../../lib/random/philox.js'
import { type Denoiser, sample, sampleSteps } from '../../lib/sampling/sample.js'

const sdes = ['vp', 've', 'subvp'] as const
const states = z.base64().transform((text) => new Float64Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer))
const fixture = z
  .strictObject({
    seed: z.int(),
    sample: z.int(),
    shape: z.array(z.int()),
    steps: z.int(),
    runs: z.array(
      z.strictObject({
        sde: z.enum(sdes),
        predictor: z.enum(['reverse-diffusion', 'ancestral', 'euler-maruyama', 'none']),
        corrector: z.enum(['langevin', 'ald', 'none']),
        snr: z.number(),
        moves: z.int(),
        times: z.array(z.number()).nullable(),
        states,
      }),
    ),
    odes: z.array(z.strictObject({ sde: z.enum(sdes), eps: z.number(), x: states, clean: states })),
    annealed: z.strictObject({ stepSize: z.number(), stepsPerLevel: z.int(), steps: z.int(), states }),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/samplers-c/score-sde.json', import.meta.url), 'utf8')))

/** The closed form of the fixtures, at a place from 0 to 1 in time. */
const clean = (x: number, place: number): number => 0.9 * Math.tanh(0.8 * x + 1.5 * place - 0.3) + 0.1 * x
const denoiserBy =
  (place: (time: number) => number): Denoiser =>
  (x, { time }) =>
    x.map((value) => clean(value, place(time)))

const scheduleOf = (schedule: DiffusionOptions['schedule']): Schedule =>
  createSchedule(parseDiffusion({ schedule }).schedule)
const discrete = (sde: 'vp' | 've', steps: number): Schedule =>
  scheduleOf(sde === 'vp' ? { kind: 'linear', steps, scaleToSteps: true } : { kind: 'ncsn', steps })
const continuous = (sde: (typeof sdes)[number], cleanest: number): Schedule =>
  scheduleOf({ kind: ({ vp: 'vp-sde', ve: 've-sde', subvp: 'sub-vp-sde' } as const)[sde], cleanest })

const base = { shape: [1, ...fixture.shape], seed: fixture.seed, samples: [fixture.sample] }
const elements = fixture.shape.reduce((product, size) => product * size, 1)

/** x after every step, one after another. */
async function statesOf(options: Parameters<typeof sampleSteps>[0]): Promise<number[]> {
  const found: number[] = []
  for await (const { x } of sampleSteps(options)) found.push(...x)
  return found
}

/** Largest difference, relative to the larger of the reference and 1. */
function largestDifference(actual: ArrayLike<number>, reference: Float64Array): number {
  expect(actual.length).toBe(reference.length)
  expect(reference.every(Number.isFinite)).toBe(true)
  return reference.reduce(
    (top, value, i) => Math.max(top, Math.abs(value - (actual[i] ?? Number.NaN)) / Math.max(1, Math.abs(value))),
    0,
  )
}

describe('predictor and corrector pass through the same states', () => {
  test.each(
    fixture.runs.map(
      (run) => [`${run.sde}: ${run.predictor}, ${run.corrector} × ${run.moves} at ${run.snr}`, run] as const,
    ),
  )('%s', async (_, { sde, predictor, corrector, snr, moves, times, states: reference }) => {
    const schedule =
      times || sde === 'subvp' ? continuous(sde, (times?.at(-1) ?? 1) * 0.999) : discrete(sde, fixture.steps)
    const found = await statesOf({
      ...base,
      denoiser: denoiserBy(times ? (time) => time : (time) => time / fixture.steps),
      schedule,
      spacing: times ? { kind: 'times', times } : 'trailing',
      sampler: {
        kind: 'predictor-corrector',
        predictor,
        corrector: corrector === 'ald' ? 'annealed' : corrector,
        snr,
        corrections: moves,
        // theirs: the posterior's where variance explodes, beta where it is preserved
        variance: sde === 've' ? 'fixed-small' : 'fixed-large',
      },
    })
    // They differ by 4e-14; where the SDE's rates are read off neighbouring levels, by 1e-9.
    expect(largestDifference(found, reference)).toBeLessThan(predictor === 'euler-maruyama' ? 1e-8 : 1e-12)
  })
})

test('annealed Langevin dynamics passes through the same states', async () => {
  const { steps, stepSize, stepsPerLevel, states: reference } = fixture.annealed
  const found = await statesOf({
    ...base,
    denoiser: denoiserBy((time) => time / steps),
    schedule: discrete('ve', steps),
    sampler: { kind: 'annealed-langevin', stepSize, stepsPerLevel },
  })
  expect(largestDifference(found, reference)).toBeLessThan(1e-12)
})

describe('the probability flow ends where their drift, solved by SciPy, ends', () => {
  const samplers = [
    { kind: 'rk45', rtol: 1e-9, atol: 1e-9 },
    { kind: 'rk23', rtol: 1e-7, atol: 1e-7 },
  ] as const
  const cases = fixture.odes.flatMap((ode) => samplers.map((sampler) => [sampler.kind, ode.sde, sampler, ode] as const))
  test.each(cases)('%s, %s', async (_, __, sampler, { sde, eps, clean: reference }) => {
    const { data } = await sample({
      ...base,
      denoiser: denoiserBy((time) => time),
      schedule: continuous(sde, eps),
      sampler,
      initial: normals(fixture.seed, 'initial', 0, fixture.sample, elements).map(
        (value) => (sde === 've' ? 50 : 1) * value,
      ),
    })
    // They differ by 1e-10 and 2e-7.
    expect(largestDifference(data, reference)).toBeLessThan(100 * sampler.rtol)
  })
})
