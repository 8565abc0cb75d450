/** Every way to have the variational bound in the loss, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { nameOrOptions, schemasOf } from '../../options/kind-schema.js'
import { type Bound, type BoundDefinition, type BoundParts, createBound } from '../bound.js'
import { hybrid } from './hybrid.js'
import { none } from './none.js'
import { vlbBound } from './vlb.js'

export const bounds = { none, hybrid, vlb: vlbBound } satisfies Record<string, BoundDefinition>

export const boundSchema = nameOrOptions(z.discriminatedUnion('kind', schemasOf(bounds)))
export type BoundSettings = z.output<typeof boundSchema>

/** @throws DpmError DPM_INVALID_OPTION when the bound fits neither schedule nor variance. */
export function resolveBound(settings: BoundSettings, parts: BoundParts): Bound {
  const definition: BoundDefinition = bounds[settings.kind]
  return createBound(definition.name, definition.share(settings, parts.schedule.steps ?? 1), parts)
}
