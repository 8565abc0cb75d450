/**
 * The complete settings of a training run: what a recipe holds, what `config.json` keeps, what a checkpoint carries. Each
 * part is declared where it belongs; here they are put together.
 */
import * as z from 'zod'
import { retentionSchema } from '../checkpoints/checkpoint-folder.js'
import { dataSchema } from '../datasets/list.js'
import { modelSchema } from '../generation/model-options.js'
import { devicePattern } from '../native/device.js'
import { defineOptions } from '../options/options.js'
import { seedSchema } from '../options/seed.js'
import { samplerSchema } from '../sampling/samplers.js'
import { spacingSchema } from '../sampling/spacings/list.js'
import { averagingsSchema } from './averaging.js'
import { budgetSchema } from './budget.js'
import { learningRateSchema } from './learning-rate.js'
import { optimizerSchema } from './optimizer.js'
import { snapshotsSchema } from './snapshots.js'
import { startedInSchema } from './started-in.js'

const trainingSchema = z.strictObject({
  batch: z.int().min(1).max(65_536).default(64).describe('images per update'),
  microBatch: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe('images in memory at a time; smaller than the batch accumulates the gradient'),
  flip: z.boolean().default(false).describe('mirror half of the images left to right, another half in each epoch'),
  conditionDropout: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe('share of examples trained without their class, for guidance'),
  activationCheckpointing: z
    .boolean()
    .default(false)
    .describe(
      'blocks of the network keep only their inputs and run again on the way back: less memory, a third more time',
    ),
  optimizer: optimizerSchema.prefault({ kind: 'adam' }),
  learningRate: learningRateSchema.prefault({}),
  clipNorm: z.number().min(0).default(1).describe('largest L2 norm of the whole gradient; 0 leaves it as it is'),
  averaging: averagingsSchema
    .default([{ kind: 'constant', decay: 0.9999 }])
    .describe('averaged copies of the weights; sampling uses the first'),
})

const previewSchema = z.strictObject({
  everySteps: z.int().min(0).default(1000).describe('steps between sample grids; 0 draws none'),
  columns: z.int().min(1).max(64).default(8).describe('images in a row; classes have a row each'),
  rows: z.int().min(1).max(64).default(8).describe('rows, at most'),
  sampler: samplerSchema.prefault('ddim'),
  steps: z.int().min(1).default(25).describe('steps of the sampler'),
  spacing: spacingSchema
    .nullable()
    .default(null)
    .describe('how the levels of the steps are spread; null: trailing, or uniform where time is continuous'),
  guidance: z.number().default(1).describe('scale of classifier-free guidance; 1 is the plain conditional network'),
  animation: z.boolean().default(true).describe('at the end, samples/denoising.gif: how the images come out of noise'),
})

const checkpointSchema = z.strictObject({
  everySteps: z.int().min(1).default(5000).describe('steps between checkpoints'),
  everyMinutes: z.number().positive().default(30).describe('minutes between checkpoints, whichever comes first'),
  keep: retentionSchema.prefault({}),
  snapshots: snapshotsSchema.prefault({}),
})

const logSchema = z.strictObject({
  everySteps: z
    .int()
    .min(1)
    .default(50)
    .describe('steps between lines of metrics.jsonl and TensorBoard; losses in between are averaged'),
  tensorboard: z.boolean().default(true).describe('write TensorBoard events'),
})

export const runSchema = z.strictObject({
  name: z.string().min(1).max(100).default('run').describe('name of the recipe'),
  description: z.string().default('').describe('what the recipe is, and where its numbers come from'),
  data: dataSchema,
  ...modelSchema.shape,
  training: trainingSchema.prefault({}),
  budget: budgetSchema,
  previews: previewSchema.prefault({}),
  checkpoints: checkpointSchema.prefault({}),
  log: logSchema.prefault({}),
  seed: seedSchema
    .default(0)
    .describe('all randomness of the run is a function of it; up to 2^64 - 1, above 2^53 - 1 as digits in quotes'),
  startedIn: startedInSchema,
  device: z
    .string()
    .regex(devicePattern, { error: 'Expected auto, cpu, cuda or cuda:N' })
    .default('auto')
    .describe('where to compute'),
  threads: z
    .int()
    .min(1)
    .max(1024)
    .nullable()
    .default(null)
    .describe('processor threads of one operation; null takes all cores'),
})

export const runOptions = defineOptions('run', runSchema)
/** What a caller may write. */
export type RunOptions = z.input<typeof runSchema>
/** Complete and frozen: what runs. */
export type RunSettings = z.output<typeof runSchema>
