/** The diffusion process as a caller writes it, and as it runs. */
import * as z from 'zod'
import { nameOrOptions, schemasOf } from '../options/kind-schema.js'
import { parseOptions } from '../options/options.js'
import { boundSchema, resolveBound } from './bounds/list.js'
import { couplings } from './coupling.js'
import type { ScheduleDefinition } from './define-schedule.js'
import type { Learner } from './learned/learner.js'
import { createLoss, losses } from './loss.js'
import { createObjective, type Objective } from './objective.js'
import { logVarianceClips, varianceKinds } from './posterior.js'
import type { Prediction } from './prediction.js'
import { createPrediction, predictionSchema } from './predictions/list.js'
import type { Schedule } from './schedule.js'
import { schedules } from './schedules/list.js'
import { createLabeller, type Labeller, timeLabels } from './time-label.js'
import { createTimes, timesSchema } from './times/list.js'
import type { Weighting, WeightingDefinition } from './weighting.js'
import { weightings } from './weightings/list.js'

/** What keeps the predicted clean image in range while sampling. */
export const clips = {
  none: { schema: z.strictObject({ kind: z.literal('none') }) },
  range: {
    schema: z
      .strictObject({
        kind: z.literal('range'),
        low: z.number().default(-1).describe('smallest value of a clean image'),
        high: z.number().default(1).describe('largest value of a clean image'),
      })
      .refine(({ low, high }) => low < high, { error: 'Expected a range whose low is below its high' }),
  },
  dynamic: {
    schema: z
      .strictObject({
        kind: z.literal('dynamic'),
        quantile: z.number().gt(0).max(1).default(0.995).describe("share of an image's values that must fit (Imagen)"),
        low: z.number().positive().default(1).describe('smallest threshold, and the range that results'),
        high: z.number().positive().default(1e6).describe('largest threshold'),
      })
      .refine(({ low, high }) => low <= high, { error: 'Expected thresholds whose low is at most their high' }),
  },
} as const

export const clipSchema = nameOrOptions(
  z.discriminatedUnion('kind', [clips.none.schema, clips.range.schema, clips.dynamic.schema]),
)

export type ClipSettings = z.output<typeof clipSchema>

export const diffusionSchema = z.strictObject({
  schedule: nameOrOptions(z.discriminatedUnion('kind', schemasOf(schedules)))
    .prefault('linear')
    .describe('how noise grows with time'),
  prediction: predictionSchema.prefault('noise').describe('what the network predicts'),
  variance: z
    .enum(varianceKinds)
    .default('fixed-large')
    .describe(
      "variance of ancestral sampling: the posterior's (small), beta (large), or what the network says (learned)",
    ),
  weighting: nameOrOptions(z.discriminatedUnion('kind', schemasOf(weightings)))
    .prefault('uniform')
    .describe('how much each level counts in the loss'),
  coupling: z
    .enum(names(couplings))
    .default('independent')
    .describe(
      'which noise of a batch meets which image: each its own, or as near as can be (minibatch optimal transport)',
    ),
  times: timesSchema.prefault('uniform').describe('how training chooses times'),
  timeLabel: z.enum(names(timeLabels)).default('step').describe('how the network is told the time'),
  loss: z.enum(names(losses)).default('l2').describe('distance between output and target'),
  lossScale: z
    .number()
    .positive()
    .default(1)
    .describe('where the losses huber and pseudo-huber turn from a parabola into a line'),
  bound: boundSchema.prefault('none').describe('the variational bound in the loss; a learned variance needs it'),
  logVarianceClip: z
    .enum(logVarianceClips)
    .default('second-step')
    .describe('what stands in for the log of the posterior variance at time 0 in the bound: that of time 1, or 1e-20'),
  clip: clipSchema.prefault({ kind: 'range' }).describe('what keeps the predicted clean image in range while sampling'),
})

export type DiffusionOptions = z.input<typeof diffusionSchema>
export type DiffusionSettings = z.output<typeof diffusionSchema>

/** A diffusion process: everything about training and sampling that is neither network nor data. */
export interface DiffusionProcess {
  readonly settings: DiffusionSettings
  readonly schedule: Schedule
  readonly prediction: Prediction
  readonly objective: Objective
  /** The number by which the network is told a level's time. */
  readonly label: Labeller
  /** What training finds beside the network's weights, or a checkpoint has. */
  readonly learners: readonly Learner[]
}

/** Complete settings from what a caller wrote. @throws DpmError DPM_INVALID_OPTION naming value, place and choices. */
export function parseDiffusion(options: unknown, place = 'diffusion'): DiffusionSettings {
  return parseOptions(diffusionSchema, options, place)
}

export function createProcess(settings: DiffusionSettings): DiffusionProcess {
  const schedule = createSchedule(settings.schedule)
  const prediction = createPrediction(settings.prediction, schedule)
  const label = createLabeller(settings.timeLabel, schedule)
  const weighting = createWeighting(settings.weighting, schedule)
  const times = createTimes(settings.times, schedule)
  return {
    settings,
    schedule,
    prediction,
    objective: createObjective({
      schedule,
      prediction,
      weighting,
      label,
      times,
      loss: createLoss(settings.loss, prediction.name),
      bound: resolveBound(settings.bound, {
        schedule,
        variance: settings.variance,
        clip: settings.logVarianceClip,
      }),
    }),
    label,
    learners: [schedule, weighting, times].flatMap(({ learner }) => learner ?? []),
  }
}

export function createSchedule(settings: DiffusionSettings['schedule']): Schedule {
  const definition: ScheduleDefinition = schedules[settings.kind]
  return definition.create(settings)
}

export function createWeighting(settings: DiffusionSettings['weighting'], schedule: Schedule): Weighting {
  const definition: WeightingDefinition = weightings[settings.kind]
  return definition.create(settings, schedule)
}

function names<Name extends string>(map: Readonly<Record<Name, unknown>>): [Name, ...Name[]] {
  return Object.keys(map) as [Name, ...Name[]]
}
