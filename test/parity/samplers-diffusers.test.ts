import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { createSchedule, diffusionSchema } from '../../lib/diffusion/diffusion-options.js'
import { predictionSchema, resolvePrediction } from '../../lib/diffusion/predictions/list.js'
import type { Level, Schedule } from '../../lib/diffusion/schedule.js'
import { levelsAt, selectLevels } from '../../lib/sampling/levels.js'
import { referenceSteps } from '../../lib/sampling/reference-executor.js'
import { initialNoise } from '../../lib/sampling/sample.js'
import { recordSampler, samplerSchema } from '../../lib/sampling/samplers.js'
import { spacingSchema } from '../../lib/sampling/spacings/list.js'
import { contextOf } from '../unit/record-context.js'

/**
 * Both sides compute in float64 and are 1e-14 apart with the linear schedule. The cosine one begins where alpha is 5e-5: there
 * the peers' state x / alpha costs digits, 3e-10 at most.
 */
const tolerance = 1e-9

const runSchema = z.strictObject({
  peer: z.string(),
  sampler: samplerSchema,
  schedule: z.enum(['linear', 'cosine']),
  spacing: z.string(),
  steps: z.int(),
  prediction: predictionSchema,
  /** Whole times, of which the run visits each, or sigma / alpha. */
  times: z.array(z.int()).optional(),
  ratios: z.array(z.number()).optional(),
  /** Steps after which x is stored, counted from 0. */
  stored: z.array(z.int()),
  states: z.base64(),
})
type Run = z.output<typeof runSchema>

const { samples, seed, shape, trainingSteps, runs } = z
  .strictObject({
    seed: z.int(),
    samples: z.array(z.int()),
    shape: z.array(z.int()),
    trainingSteps: z.int(),
    runs: z.array(runSchema),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/samplers-a/trajectories.json', import.meta.url), 'utf8')))

/** The network of the fixtures. */
function network(x: Float64Array, time: number): Float64Array {
  return x.map((value) => 0.9 * Math.tanh(0.8 * value + (1.5 * time) / trainingSteps - 0.3) + 0.1 * value)
}

function levelsOf({ times, ratios = [] }: Run, schedule: Schedule): readonly Level[] {
  if (times) return levelsAt(schedule, times)
  return [...ratios.map((ratio) => schedule.atRatio(ratio)), schedule.clean]
}

function titleOf({ peer, sampler, schedule, spacing, steps, prediction }: Run): string {
  const { kind, ...options } = sampler
  return `${peer}: ${kind} ${JSON.stringify(options)}, ${schedule}, ${steps} steps ${spacing}, ${prediction.kind}`
}

describe("the peers' states", () => {
  test.each(runs.map((run) => [titleOf(run), run] as const))('%s', async (_, run) => {
    const schedule = createSchedule(
      diffusionSchema.parse({ schedule: { kind: run.schedule, steps: trainingSteps } }).schedule,
    )
    const asked: Level[] = []
    const context = contextOf(
      schedule,
      {},
      {
        levels: levelsOf(run, schedule),
        prediction: resolvePrediction(run.prediction, schedule),
        label: (level) => asked.push(level) - 1,
        start: 'noise',
      },
    )
    if (run.times && run.sampler.kind !== 'deis') {
      const visited = selectLevels(schedule, { steps: run.steps, spacing: spacingSchema.parse(run.spacing) })
      expect(visited.map(({ time }) => time)).toEqual([...run.times, -1])
    }
    const elements = shape.reduce((product, size) => product * size, 1)
    const reference = new Float64Array(Uint8Array.from(Buffer.from(run.states, 'base64')).buffer)
    let worst = 0
    let compared = 0
    for await (const { step, x } of referenceSteps(recordSampler(run.sampler, context), {
      network: (values, label) => network(values, asked[label]?.time ?? Number.NaN),
      inputs: { x: initialNoise(seed, samples, elements) },
      shape,
      samples,
      seed,
    })) {
      const place = run.stored.indexOf(step - 1)
      if (place < 0) continue
      compared += 1
      x.forEach((value, i) => {
        const exact = reference[place * x.length + i] ?? Number.NaN
        worst = Math.max(worst, Math.abs(value - exact) / Math.max(1, Math.abs(exact)))
      })
    }
    expect(compared).toBe(run.stored.length)
    expect(worst).toBeLessThan(tolerance)
  })
})
