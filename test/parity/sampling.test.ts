import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { clipSchema, createSchedule, diffusionSchema } from '../../lib/diffusion/diffusion-options.js'
import { predictionSchema } from '../../lib/diffusion/predictions/list.js'
import { selectLevels } from '../../lib/sampling/levels.js'
import { sampleSteps } from '../../lib/sampling/sample.js'
import { samplerSchema } from '../../lib/sampling/samplers.js'
import { spacingSchema } from '../../lib/sampling/spacings/list.js'

/**
 * Both sides compute in float64 and are 4e-13 apart, most runs 1e-14; but where diffusers' DDPM ends at a time above 0
 * (`trailing`) it adds noise of 1e-10.
 */
const tolerance = 1e-9

const runSchema = z.strictObject({
  sampler: samplerSchema,
  schedule: z.enum(['linear', 'cosine']),
  spacing: spacingSchema,
  steps: z.int(),
  prediction: predictionSchema,
  clip: clipSchema,
  /** Every time of the run, or of a long one its ends and its sum. */
  times: z.union([z.array(z.int()), z.strictObject({ first: z.array(z.int()), last: z.array(z.int()), sum: z.int() })]),
  /** Steps after which x and the clean prediction are stored, counted from 0. */
  stored: z.array(z.int()),
  states: z.base64(),
  cleans: z.base64(),
})
type Run = z.output<typeof runSchema>

const { seed, samples, shape, trainingSteps, runs } = z
  .strictObject({
    seed: z.int(),
    samples: z.array(z.int()),
    shape: z.array(z.int()),
    trainingSteps: z.int(),
    runs: z.array(runSchema),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/sampling/trajectories.json', import.meta.url), 'utf8')))

/** The network of the fixtures, see `make_sampling_fixtures.py`. */
function network(x: Float64Array, time: number): Float64Array {
  return x.map((value) => 0.9 * Math.tanh(0.8 * value + (1.5 * time) / trainingSteps - 0.3) + 0.1 * value)
}

function scheduleOf(run: Run) {
  return createSchedule(diffusionSchema.parse({ schedule: { kind: run.schedule, steps: trainingSteps } }).schedule)
}

function decodeDoubles(text: string): Float64Array {
  return new Float64Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer)
}

function titleOf({ sampler, schedule, spacing, steps, prediction, clip }: Run): string {
  const { kind, ...options } = sampler
  return `${kind} ${Object.values(options).join(' ')}, ${schedule}, ${steps} steps ${spacing.kind}, ${prediction.kind}, clip ${clip.kind}`
}

describe.each(runs.map((run) => [titleOf(run), run] as const))("diffusers' run: %s", (_, run) => {
  test('visits the same times', () => {
    const times = selectLevels(scheduleOf(run), run).map(({ time }) => time)
    expect(times.pop()).toBe(-1)
    if (Array.isArray(run.times)) {
      expect(times).toEqual(run.times)
    } else {
      const sum = times.reduce((total, time) => total + time, 0)
      expect({ first: times.slice(0, 3), last: times.slice(-3), sum }).toEqual(run.times)
    }
  })

  test('passes through the same states', async () => {
    const states: number[] = []
    const cleans: number[] = []
    for await (const { step, x, clean } of sampleSteps({
      denoiser: (x, { time }) => network(x, time),
      prediction: run.prediction,
      shape: [samples.length, ...shape],
      sampler: run.sampler,
      schedule: scheduleOf(run),
      steps: run.steps,
      spacing: run.spacing,
      clip: run.clip,
      seed,
      samples,
    })) {
      if (!run.stored.includes(step - 1)) continue
      states.push(...x)
      cleans.push(...clean)
    }
    expect(largestDifference(states, decodeDoubles(run.states))).toBeLessThan(tolerance)
    expect(largestDifference(cleans, decodeDoubles(run.cleans))).toBeLessThan(tolerance)
  })
})

/** Largest difference, relative to the larger of the reference and 1. */
function largestDifference(actual: readonly number[], reference: Float64Array): number {
  expect(actual).toHaveLength(reference.length)
  return reference.reduce(
    (top, value, i) => Math.max(top, Math.abs(value - (actual[i] ?? Number.NaN)) / Math.max(1, Math.abs(value))),
    0,
  )
}
