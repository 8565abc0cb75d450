/**
 * Autoguidance (Karras et al. 2024, arXiv 2406.02507, eq. 5): a weaker version of the same network takes the place of the
 * unconditional one, F = F_weak + scale · (F - F_weak), under the same condition.
 */
import * as z from 'zod'
import { ratioOf } from '../schedule.js'
import { defineGuidance, extrapolate } from './guidance.js'
import { intervalFields, requireInterval, within } from './interval.js'

export const auto = defineGuidance({
  name: 'auto',
  options: z.strictObject({
    kind: z.literal('auto'),
    scale: z.number().default(2).describe('1: the network alone; above 1 away from the weaker one'),
    ...intervalFields,
  }),
  networks: 1,
  needsNull: () => false,
  create(settings) {
    requireInterval(settings)
    return (level, condition) => ({
      terms: extrapolate(
        within(settings, ratioOf(level)) ? settings.scale : 1,
        { network: 0, condition },
        { network: 1, condition },
      ),
      rescale: 0,
    })
  },
})
