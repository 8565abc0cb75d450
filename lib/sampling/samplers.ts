/** Every sampler, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { nameOrOptions, schemasOf } from '../options/kind-schema.js'
import { parseOptions } from '../options/options.js'
import { ddim } from './ddim.js'
import { ddpm } from './ddpm.js'
import type { SamplerDefinition } from './define-sampler.js'
import type { Program } from './program.js'
import { type RecordContext, record } from './recorder.js'

export const samplers = { ddpm, ddim } satisfies Record<string, SamplerDefinition>
export type SamplerKind = keyof typeof samplers

export const samplerSchema = nameOrOptions(z.discriminatedUnion('kind', schemasOf(samplers)))
export type SamplerOptions = z.input<typeof samplerSchema>
export type SamplerSettings = z.output<typeof samplerSchema>

/**
 * Complete settings of a sampler from its kind, or from its options.
 * @throws DpmError DPM_INVALID_OPTION naming value, place and choices.
 */
export function parseSampler(sampler: SamplerOptions, place = 'sampler'): SamplerSettings {
  return parseOptions(samplerSchema, sampler, place)
}

export function samplerDefinition({ kind }: SamplerSettings): SamplerDefinition {
  return samplers[kind]
}

/**
 * The program of a run with a sampler of the list.
 * @throws DpmError DPM_INVALID_OPTION for an adaptive sampler, which has none.
 */
export function recordSampler(settings: SamplerSettings, context: RecordContext): Program {
  const definition = samplerDefinition(settings)
  if (!definition.adaptive) return record(definition, settings, context)
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Sampler \`${settings.kind}\` decides on its steps while it runs, so it has no program. Run it, or choose another sampler.`,
  )
}
