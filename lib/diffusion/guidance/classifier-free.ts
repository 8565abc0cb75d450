/**
 * Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598) with F = F_null + scale · (F_given - F_null):
 * scale 1 is the conditional network alone, 0 the unconditional one, and above 1 moves away from the unconditional. (The
 * paper's w is scale - 1.)
 */
import * as z from 'zod'
import { uniform } from '../../random/philox.js'
import { ratioOf } from '../schedule.js'
import { defineGuidance, extrapolate } from './guidance.js'
import { intervalFields, requireInterval, within } from './interval.js'

export const classifierFree = defineGuidance({
  name: 'classifier-free',
  options: z.strictObject({
    kind: z.literal('classifier-free'),
    scale: z.number().default(1).describe('1: the conditional network alone; above 1 away from the unconditional'),
    ...intervalFields,
    rescale: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe('share that is scaled to the standard deviation of the conditional output (Lin et al. 2023: 0.7)'),
  }),
  networks: 0,
  needsNull: ({ scale }) => scale !== 1,
  create(settings) {
    requireInterval(settings)
    return (level, condition) => {
      const scale = within(settings, ratioOf(level)) ? settings.scale : 1
      const plain = { network: 0, condition } as const
      if (condition === 'null') return { terms: [[1, plain]], rescale: 0 }
      const terms = extrapolate(scale, plain, { network: 0, condition: 'null' })
      return { terms, rescale: terms.length > 1 ? settings.rescale : 0 }
    }
  },
})

/**
 * Whether an example is trained without its class in this epoch, so that the network also learns the unconditional
 * prediction.
 * @param probability 0 … 1; 0.1 in the paper's best runs
 */
export function conditionDropped(seed: number, epoch: number, example: number, probability: number): boolean {
  return uniform(seed, 'condition', epoch, example) < probability
}
