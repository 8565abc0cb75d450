/** Every spacing of sampling steps, by name. */
import { leadingSpacing } from './leading.js'
import { linspaceSpacing } from './linspace.js'
import { quadraticSpacing } from './quadratic.js'
import type { Spacing } from './spacing.js'
import { trailingSpacing } from './trailing.js'
import { uniformSpacing } from './uniform.js'

export const spacings = {
  uniform: uniformSpacing,
  leading: leadingSpacing,
  trailing: trailingSpacing,
  linspace: linspaceSpacing,
  quadratic: quadraticSpacing,
} satisfies Record<string, Spacing>
export type SpacingName = keyof typeof spacings
export const spacingNames = Object.keys(spacings) as [SpacingName, ...SpacingName[]]
