/** Optimizers: Adam (Kingma and Ba, arXiv 1412.6980) and AdamW (Loshchilov and Hutter, arXiv 1711.05101). */
import * as z from 'zod'
import type { NativeSettings } from '../native/binding.js'

const moments = {
  beta1: z.number().min(0).lt(1).default(0.9).describe('decay of the mean of gradients'),
  beta2: z.number().min(0).lt(1).default(0.999).describe('decay of the mean of squared gradients'),
  epsilon: z.number().positive().default(1e-8).describe('added to the root of the second'),
}

export const optimizerSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('adam'),
    ...moments,
    weightDecay: z.number().min(0).default(0).describe('L2 penalty, added to the gradient'),
  }),
  z.strictObject({
    kind: z.literal('adamw'),
    ...moments,
    weightDecay: z
      .number()
      .min(0)
      .default(0.01)
      .describe('share of the weights, times the learning rate, taken off at each update'),
  }),
])
export type OptimizerSettings = z.output<typeof optimizerSchema>

/** The optimizer as native code takes it. */
export function nativeOptimizer(settings: OptimizerSettings): NativeSettings {
  const { kind, ...numbers } = settings
  return { optimizer: kind, ...numbers }
}
