/** Every sampler, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { schemasOf } from '../options/kind-schema.js'
import { parseOptions } from '../options/options.js'
import { ddim } from './ddim.js'
import { ddpm } from './ddpm.js'
import type { SamplerDefinition } from './define-sampler.js'
import type { Program } from './program.js'
import { type RecordContext, record } from './recorder.js'

export const samplers = { ddpm, ddim } satisfies Record<string, SamplerDefinition>
export type SamplerKind = keyof typeof samplers

export const samplerSchema = z.discriminatedUnion('kind', schemasOf(samplers))
export type SamplerOptions = z.input<typeof samplerSchema>
export type SamplerSettings = z.output<typeof samplerSchema>

/**
 * Complete settings of a sampler from its kind, or from its options.
 * @throws DpmError DPM_INVALID_OPTION naming value, place and choices.
 */
export function parseSampler(sampler: SamplerKind | SamplerOptions, place = 'sampler'): SamplerSettings {
  return parseOptions(samplerSchema, typeof sampler === 'string' ? { kind: sampler } : sampler, place)
}

/** The program of a run with a sampler of the list. */
export function recordSampler(settings: SamplerSettings, context: RecordContext): Program {
  const definition: SamplerDefinition = samplers[settings.kind]
  return record(definition, settings, context)
}
