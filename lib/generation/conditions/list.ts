/** What a network can see beside x, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import type { ImageShape } from '../../datasets/data-set.js'
import { DpmError } from '../../errors.js'
import type { NetworkSettings } from '../../networks/list.js'
import { nameOrOptions, schemasOf } from '../../options/kind-schema.js'
import type { Condition, ConditionDefinition } from './condition.js'
import { lowResolution } from './low-resolution.js'
import { none } from './none.js'

export const conditions = { none, 'low-resolution': lowResolution } satisfies Record<string, ConditionDefinition>

export const conditionSchema = nameOrOptions(z.discriminatedUnion('kind', schemasOf(conditions)))
export type ConditionSettings = z.output<typeof conditionSchema>

/** Undefined where the network sees nothing. @throws DpmError DPM_INVALID_OPTION when settings and images do not fit. */
export function createCondition(settings: ConditionSettings, image: ImageShape): Condition | undefined {
  const definition: ConditionDefinition = conditions[settings.kind]
  return definition.create(settings, image)
}

/**
 * A network's settings with as many condition channels as the condition has.
 * @throws DpmError DPM_INVALID_OPTION when they say another number themselves, or want an image that there is not.
 */
export function conditionedNetwork(settings: NetworkSettings, condition: Condition | undefined): NetworkSettings {
  const { conditionChannels } = settings
  if (conditionChannels === (condition?.channels ?? 0)) return settings
  if (!condition) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`network.conditionChannels\` is ${conditionChannels}, but \`condition\` is "none": there is no image to show the network. Choose the condition "low-resolution", or leave \`network.conditionChannels\` out.`,
    )
  }
  if (conditionChannels === 0) return { ...settings, conditionChannels: condition.channels }
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `\`network.conditionChannels\` is ${conditionChannels}, but \`condition\` "${condition.name}" has ${condition.channels} for these images. Leave \`network.conditionChannels\` out.`,
  )
}
