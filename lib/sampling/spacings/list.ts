/** Every spacing of sampling steps, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { nameOrOptions, schemasOf } from '../../options/kind-schema.js'
import { parseOptions } from '../../options/options.js'
import { betaSpacing } from './beta.js'
import { betasSpacing } from './betas.js'
import { exponentialSpacing } from './exponential.js'
import { karrasSpacing } from './karras.js'
import { leadingSpacing } from './leading.js'
import { linspaceSpacing } from './linspace.js'
import { logSnrSpacing } from './log-snr.js'
import { quadraticSpacing } from './quadratic.js'
import { ratiosSpacing } from './ratios.js'
import { sectionsSpacing } from './sections.js'
import type { SpacingDefinition } from './spacing.js'
import { strideSpacing } from './stride.js'
import { timesSpacing } from './times.js'
import { trailingSpacing } from './trailing.js'
import { uniformSpacing } from './uniform.js'

export const spacings = {
  uniform: uniformSpacing,
  leading: leadingSpacing,
  trailing: trailingSpacing,
  linspace: linspaceSpacing,
  quadratic: quadraticSpacing,
  stride: strideSpacing,
  sections: sectionsSpacing,
  karras: karrasSpacing,
  exponential: exponentialSpacing,
  'log-snr': logSnrSpacing,
  beta: betaSpacing,
  times: timesSpacing,
  ratios: ratiosSpacing,
  betas: betasSpacing,
} satisfies Record<string, SpacingDefinition>

export const spacingSchema = nameOrOptions(z.discriminatedUnion('kind', schemasOf(spacings)))
export type SpacingOptions = z.input<typeof spacingSchema>
export type SpacingSettings = z.output<typeof spacingSchema>

/** @throws DpmError DPM_INVALID_OPTION naming value, place and choices. */
export function parseSpacing(options: SpacingOptions, place = 'spacing'): SpacingSettings {
  return parseOptions(spacingSchema, options, place)
}

export function spacingDefinition({ kind }: SpacingSettings): SpacingDefinition {
  return spacings[kind]
}
