import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { continuousSchedule } from '../../lib/diffusion/continuous-schedule.js'
import { createSchedule, diffusionSchema } from '../../lib/diffusion/diffusion-options.js'
import { straight, varianceExploding } from '../../lib/diffusion/discrete-schedule.js'
import { type Level, ratioOf, type Schedule } from '../../lib/diffusion/schedule.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { referenceSteps } from '../../lib/sampling/reference-executor.js'
import { initialNoise } from '../../lib/sampling/sample.js'
import { recordSampler, samplerSchema } from '../../lib/sampling/samplers.js'
import { spacingSchema } from '../../lib/sampling/spacings/list.js'
import { contextOf } from '../unit/record-context.js'

/** Both sides compute in float64. */
const tolerance = 1e-9

const runSchema = z.strictObject({
  sampler: samplerSchema,
  schedule: z.enum(['linear', 'cosine', 'karras', 'flow']),
  spacing: spacingSchema.optional(),
  steps: z.int(),
  first: z.number().optional(),
  /** sigma / alpha at the levels before the clean one; null where no signal is left. */
  ratios: z.array(z.number().nullable()),
  /** x after each step, but the last where the peer cannot take it. */
  states: z.base64(),
})
type Run = z.output<typeof runSchema>

const { seed, samples, shape, runs } = z
  .strictObject({ seed: z.int(), samples: z.array(z.int()), shape: z.array(z.int()), runs: z.array(runSchema) })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/samplers-b/trajectories.json', import.meta.url), 'utf8')))

const schedules = {
  linear: createSchedule(diffusionSchema.parse({ schedule: 'linear' }).schedule),
  cosine: createSchedule(diffusionSchema.parse({ schedule: 'cosine' }).schedule),
  /** k-diffusion: time is sigma, alpha 1. */
  karras: continuousSchedule({
    name: 'sigma',
    cleanest: 1e-4,
    noisiest: 100,
    at: (sigma) => ({ alpha: 1, sigma }),
    timeAtRatio: (ratio) => ratio,
    family: varianceExploding,
  }),
  flow: continuousSchedule({
    name: 'flow',
    cleanest: 1e-4,
    noisiest: 1,
    at: (time) => ({ alpha: 1 - time, sigma: time }),
    timeAtRatio: (ratio) => ratio / (1 + ratio),
    family: straight,
  }),
} satisfies Record<Run['schedule'], Schedule>

function levelsOf(run: Run): readonly Level[] {
  const schedule = schedules[run.schedule]
  if (run.spacing) return selectLevels(schedule, run)
  const levels = run.ratios.map((ratio) =>
    ratio === null ? schedule.level(schedule.noisiest) : schedule.atRatio(ratio),
  )
  return [...levels, schedule.clean]
}

/** The clean image of the fixtures, see `make_samplers_b_fixtures.py`. */
function network(x: Float64Array, { alpha, sigma }: Level): Float64Array {
  return x.map((value) => {
    const unit = value / Math.hypot(alpha, sigma)
    return 0.9 * Math.tanh(0.8 * unit + 0.15 * Math.log(sigma / alpha) - 0.3) + 0.1 * unit
  })
}

function titleOf({ sampler, schedule, spacing, steps }: Run): string {
  return `${Object.values(sampler).join(' ')}, ${schedule}, ${steps} steps ${spacing?.kind ?? ''}`
}

describe.each(runs.map((run) => [titleOf(run), run] as const))("a peer's run: %s", (_, run) => {
  const levels = levelsOf(run)

  test('visits the same levels', () => {
    expect(levels).toHaveLength(run.steps + 1)
    run.ratios.forEach((ratio, i) => {
      const level = levels[i]
      if (ratio !== null && level) expect(Math.abs(ratioOf(level) / ratio - 1)).toBeLessThan(1e-11)
    })
  })

  test('passes through the same states', async () => {
    const asked: Level[] = []
    const program = recordSampler(
      run.sampler,
      contextOf(schedules[run.schedule], {}, { levels, label: (level) => asked.push(level) - 1 }),
    )
    const [first = schedules[run.schedule].clean] = levels
    const elements = shape.reduce((product, size) => product * size, 1)
    // Inversion begins with normals too, which it takes for an image.
    const scale = run.sampler.kind === 'ddim-inversion' ? 1 : Math.hypot(first.alpha, first.sigma)
    const states: number[] = []
    for await (const { x } of referenceSteps(program, {
      network: (x, cNoise) => network(x, asked[cNoise] ?? first),
      inputs: { x: initialNoise(seed, samples, elements).map((value) => scale * value) },
      shape,
      samples,
      seed,
    })) {
      states.push(...x)
    }
    const reference = new Float64Array(Uint8Array.from(Buffer.from(run.states, 'base64')).buffer)
    expect(reference.length).toBeGreaterThanOrEqual((run.steps - 1) * elements * samples.length)
    expect(states.length).toBeGreaterThanOrEqual(reference.length)
    const difference = reference.reduce(
      (top, value, i) => Math.max(top, Math.abs(value - (states[i] ?? Number.NaN)) / Math.max(1, Math.abs(value))),
      0,
    )
    expect(difference).toBeLessThan(tolerance)
  })
})
