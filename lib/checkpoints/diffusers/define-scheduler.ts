/** What a class of schedulers of diffusers is here: the keys of its configuration, and what it is read as. */
import type * as z from 'zod'
import type { DiffusionOptions } from '../../diffusion/diffusion-options.js'
import { parseOptions } from '../../options/options.js'
import type { FinalLevel } from '../../sampling/levels.js'
import type { SamplerOptions } from '../../sampling/samplers.js'
import type { SpacingOptions } from '../../sampling/spacings/list.js'
import type { SchedulerReading } from './scheduler-config.js'
import { clipOf, predictionKey, predictions, scheduleOf } from './scheduler-keys.js'

export interface Scheduler {
  /** What it reads. */
  readonly keys: readonly string[]
  read(config: unknown, place: string): SchedulerReading
}

export interface Made {
  readonly diffusion: DiffusionOptions
  readonly sampler: SamplerOptions
  readonly spacing: SpacingOptions
  readonly steps: number
  /** The clean image when absent. */
  readonly finalLevel?: FinalLevel
  readonly notes?: readonly string[]
}

export function defineScheduler<Schema extends z.ZodObject>(
  schema: Schema,
  make: (config: z.output<Schema>) => Made,
): Scheduler {
  return {
    keys: Object.keys(schema.shape),
    read(config, place) {
      const { diffusion, sampler, spacing, steps, finalLevel, notes = [] } = make(parseOptions(schema, config, place))
      const sampling = { sampler, spacing, steps, ...(finalLevel === undefined ? {} : { finalLevel }) }
      return { diffusion, sampling, notes }
    },
  }
}

export type Common = Parameters<typeof scheduleOf>[0] &
  Parameters<typeof clipOf>[0] & { prediction_type: keyof typeof predictions }

/** Of the variance, which only DDPM has a word for, DDPM's default. */
export function diffusionOf(config: Common): DiffusionOptions {
  return {
    schedule: scheduleOf(config),
    prediction: predictions[config.prediction_type],
    clip: clipOf(config),
    variance: 'fixed-small',
    timeLabel: 'step',
  }
}

/** Steps of a run where the pipeline's call does not say: a choice of that call there. */
export const few = ({ num_train_timesteps: times }: { num_train_timesteps: number }): number => Math.min(50, times)

export const anyPrediction = { prediction_type: predictionKey('epsilon', 'sample', 'v_prediction') }

/** A variance that the network has learned. */
export const learnedRange = { variance: 'learned-range', bound: 'hybrid' } as const
