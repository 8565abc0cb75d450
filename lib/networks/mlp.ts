/**
 * A multilayer perceptron, for toy data and tables: x as one vector, all elements to all.
 *
 *   c = act(W2 act(W1 embedding(time label)) + class)
 *   h = W x,  then block by block
 *     residual   h ← h + Wout drop(act(Win act(h) + Wtime c))
 *     plain      h ← drop(act(Win h + Wtime c))
 *   output = W act(h) of residual blocks, W h of plain ones
 *
 * every W with its bias. The form is that of the toy examples of the field with the residual blocks of Gorishniy et al. 2021 (arXiv
 * 2106.11959), which TabDDPM (Kotelnikov et al. 2023, arXiv 2209.15421) uses on tables; time and class enter each block, as
 * they do in a U-Net.
 *
 * Parameter names: `time.{in,out}`, `time.frequencies`, `classes`, `input`, `blocks.I.{in,time,out}`, `output`, each but the
 * frequencies with `.weight`, and `.bias` where it is linear. Elements of x come channel by channel, row by row.
 */
import * as z from 'zod'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import { initializationSchema } from './initialization.js'
import type { NetworkDefinition } from './network-definition.js'

const mlpSchema = z.strictObject({
  kind: z.literal('mlp'),
  width: z.int().min(1).max(65_536).default(128).describe('numbers of a hidden layer'),
  depth: z.int().min(1).max(256).default(4).describe('blocks'),
  activation: z
    .enum(['silu', 'gelu', 'relu', 'leaky-relu', 'elu', 'mish'])
    .default('silu')
    .describe('nonlinearity; leaky-relu has slope 0.2 below 0'),
  residual: z.boolean().default(true).describe('blocks of two layers that are added to what they read'),
  timeEmbedding: z
    .enum(['ddpm', 'improved', 'fourier'])
    .default('ddpm')
    .describe('ddpm: [sin, cos], 1e4^(-i/(half-1)); improved: [cos, sin], 1e4^(-i/half); fourier: of 2π f t, random f'),
  timeChannels: z.int().min(4).multipleOf(2).default(128).describe('sines and cosines of the time label'),
  fourierScale: z.number().positive().default(16).describe('standard deviation of the random frequencies'),
  dropout: z.number().min(0).lt(1).default(0).describe('dropout behind the nonlinearity of a block'),
  initialization: initializationSchema.default('torch').describe('how the layers start'),
  ...conditioningOptions,
})

export type MlpSettings = z.output<typeof mlpSchema>
export type MlpOptions = z.input<typeof mlpSchema>

export const mlp: NetworkDefinition<MlpSettings> & { readonly schema: typeof mlpSchema } = {
  name: 'mlp',
  schema: mlpSchema,
  options: defineOptions('mlp', mlpSchema),
  // The data has a `width` too.
  native: (settings, image, classes, outputs) => ({
    ...settings,
    hiddenWidth: settings.width,
    ...dataShape(settings, image, classes, outputs),
  }),
}
