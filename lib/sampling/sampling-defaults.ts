/** How a model is sampled where a caller says nothing: kept with the model, as its maker recommends it. */
import * as z from 'zod'
import { type FinalLevel, finalLevelSchema } from './levels.js'
import { type SamplerOptions, samplerSchema } from './samplers.js'
import { parseSpacing, type SpacingOptions, spacingDefinition, spacingSchema } from './spacings/list.js'

export const samplingSchema = z.strictObject({
  sampler: samplerSchema.nullable().default(null).describe('null: ddim'),
  steps: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe('steps of the sampler; null: every time of a discrete schedule, 50 where time is continuous'),
  spacing: spacingSchema
    .nullable()
    .default(null)
    .describe('how the levels of the steps are spread; null: trailing, or uniform where time is continuous'),
  finalLevel: finalLevelSchema
    .default('clean')
    .describe(
      "where a run ends: the clean image; or x at the schedule's least noise, as it is or divided by its alpha (diffusers' final_sigmas_type sigma_min, set_alpha_to_one false)",
    ),
})
export type SamplingSettings = z.output<typeof samplingSchema>

interface SamplingOptions {
  readonly sampler?: SamplerOptions | undefined
  readonly steps?: number | undefined
  readonly spacing?: SpacingOptions | undefined
  readonly finalLevel?: FinalLevel | undefined
}

/**
 * The options with what the model says for those that are absent. Steps, spacing and final level are meant for the model's own
 * sampler: a call that names another takes none of them.
 */
export function withDefaults<Options extends SamplingOptions>(
  options: Options,
  sampling: SamplingSettings | undefined,
): Options {
  const { sampler, steps, spacing, finalLevel } = options
  if (!sampling || (sampler !== undefined && kindOf(sampler) !== (sampling.sampler?.kind ?? 'ddim'))) return options
  return {
    ...options,
    sampler: sampler ?? sampling.sampler ?? undefined,
    spacing: spacing ?? sampling.spacing ?? undefined,
    finalLevel: finalLevel ?? sampling.finalLevel,
    steps: steps ?? (namesSteps(spacing) ? undefined : (sampling.steps ?? undefined)),
  }
}

function kindOf(sampler: SamplerOptions): string {
  return typeof sampler === 'string' ? sampler : sampler.kind
}

/** Whether a spacing lists its levels, and so their number. */
function namesSteps(spacing: SpacingOptions | undefined): boolean {
  if (spacing === undefined) return false
  return spacingDefinition(parseSpacing(spacing)).count !== undefined
}
