/** Every kind of guidance. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { expected } from '../../errors.js'
import { schemasOf } from '../../options/kind-schema.js'
import { parseOptions } from '../../options/options.js'
import { auto } from './auto.js'
import { classifierFree } from './classifier-free.js'
import type { Guidance, GuidanceDefinition } from './guidance.js'

export const guidances = { 'classifier-free': classifierFree, auto } satisfies Record<string, GuidanceDefinition>

const guidanceSchema = z.discriminatedUnion('kind', schemasOf(guidances))
export type GuidanceOptions = z.input<typeof guidanceSchema>
export type GuidanceSettings = z.output<typeof guidanceSchema>

/**
 * Complete settings: a bare number is the scale of classifier-free guidance.
 * @throws DpmError DPM_INVALID_OPTION naming value, place and choices.
 */
export function parseGuidance(options: number | GuidanceOptions, place = 'guidance'): GuidanceSettings {
  if (typeof options !== 'number') return parseOptions(guidanceSchema, options, place)
  if (!Number.isFinite(options)) throw expected('a finite number', place, options)
  return parseOptions(guidanceSchema, { kind: 'classifier-free', scale: options }, place)
}

export function guidanceDefinition({ kind }: GuidanceSettings): GuidanceDefinition {
  return guidances[kind]
}

export function createGuidance(settings: GuidanceSettings): Guidance {
  return guidanceDefinition(settings).create(settings)
}
