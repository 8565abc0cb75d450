/** Configurations of diffusers' schedulers, read and run on a closed form: x ends where diffusers ends. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { readScheduler } from '../../lib/checkpoints/diffusers/scheduler-config.js'
import { schedulers } from '../../lib/checkpoints/diffusers/schedulers.js'
import { writeScheduler } from '../../lib/checkpoints/diffusers/write-scheduler.js'
import { createProcess, diffusionSchema } from '../../lib/diffusion/diffusion-options.js'
import { sample } from '../../lib/sampling/sample.js'
import { samplingSchema } from '../../lib/sampling/sampling-defaults.js'

/** Both sides compute in float64; those that divide x by alpha lose digits where alpha is 5e-5. */
const tolerance = 1e-5

const runSchema = z.strictObject({
  scheduler: z.string(),
  steps: z.int(),
  config: z.record(z.string(), z.unknown()),
  x: z.base64(),
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
  .parse(JSON.parse(readFileSync(new URL('../fixtures/samplers-diffusers/runs.json', import.meta.url), 'utf8')))

/**
 * What diffusers divides by an alpha of 0 for, so that its numbers are those of rounding; and a run of fewer steps than were asked for.
 * Both are refused by name here.
 */
function isRefused({ scheduler, config }: Run): boolean {
  const dividesByZero =
    config['rescale_betas_zero_snr'] === true && config['prediction_type'] === 'epsilon' && /^DD[IP]M/.test(scheduler)
  return (
    dividesByZero || (typeof config['lambda_min_clipped'] === 'number' && config['timestep_spacing'] === 'trailing')
  )
}

/** What is ours to say where a step of diffusers does not end where its next begins. */
function divides({ config, steps }: Run): boolean {
  return config['timestep_spacing'] !== 'trailing' || trainingSteps % steps === 0
}

function readingOf({ scheduler, config }: Run) {
  const reading = readScheduler({ _class_name: scheduler, ...config }, undefined, 'the fixture')
  const diffusion = diffusionSchema.parse(reading.diffusion)
  return { reading, diffusion, sampling: samplingSchema.parse(reading.sampling) }
}

async function drawn(run: Run): Promise<Float64Array> {
  const { diffusion, sampling } = readingOf(run)
  const { schedule } = createProcess(diffusion)
  const { data } = await sample({
    denoiser: (x, { time }) =>
      x.map((value) => 0.9 * Math.tanh(0.8 * value + (1.5 * time) / trainingSteps - 0.3) + 0.1 * value),
    prediction: diffusion.prediction,
    shape: [samples.length, ...shape],
    sampler: sampling.sampler ?? 'ddim',
    schedule,
    steps: run.steps,
    spacing: sampling.spacing ?? undefined,
    finalLevel: sampling.finalLevel,
    clip: diffusion.clip,
    variance: diffusion.variance,
    samples,
    seed,
    allowSignal: true,
  })
  return data
}

describe.each(Object.keys(schedulers))('%s', (name) => {
  const own = runs.filter((run) => run.scheduler === name && !isRefused(run))

  test('ends where diffusers ends', async () => {
    const apart: string[] = []
    for (const run of own.filter(divides)) {
      const reference = new Float64Array(Uint8Array.from(Buffer.from(run.x, 'base64')).buffer)
      const data = await drawn(run).catch((error: Error) => error.message)
      const worst =
        typeof data === 'string'
          ? data
          : reference.reduce(
              (top, value, i) =>
                Math.max(top, Math.abs(value - (data[i] ?? Number.NaN)) / Math.max(1, Math.abs(value))),
              0,
            )
      if (!(typeof worst === 'number' && worst < tolerance)) {
        apart.push(`${worst}: ${JSON.stringify(run.config)}, ${run.steps} steps`)
      }
    }
    expect(apart).toEqual([])
  })

  test('is written as it was read', () => {
    for (const run of own) {
      const { diffusion, sampling } = readingOf(run)
      const written = writeScheduler(diffusion, sampling)
      const again = readScheduler({ _class_name: written.name, ...written.config }, undefined, 'what was written')
      const { sampler, ...rest } = samplingSchema.parse(again.sampling)
      expect({ ...rest, steps: sampling.steps }).toEqual({ ...sampling, sampler: undefined })
      // The direction of DDIM is an argument of the call there.
      if (sampling.sampler?.kind === 'ddim') expect(sampler?.kind).toBe('ddim')
      else expect(sampler).toEqual(sampling.sampler)
    }
  })
})
