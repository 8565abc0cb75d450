/**
 * The diffusion transformer (DiT) of Peebles & Xie 2023 (arXiv 2212.09748), with adaLN-zero blocks.
 *
 * Patches become tokens by one linear map; to each the sines and cosines of its column and row are added. c = MLP(time) +
 * class, where the time enters as 256 cosines and sines. Of every block, silu(c) gives by a linear map that starts at zero
 * two triples (shift, scale, gate):
 *
 *   x += gate1 * attention(norm(x) * (1 + scale1) + shift1)
 *   x += gate2 * feedForward(norm(x) * (1 + scale2) + shift2)        feedForward: linear, GELU (tanh form), linear
 *
 * norm is a layer norm without weights; a last modulated norm and a linear map that starts at zero give the patches.
 *
 * | size | channels | depth | heads |
 * | ---- | -------- | ----- | ----- |
 * | S    | 384      | 12    | 6     |
 * | B    | 768      | 12    | 12    |
 * | L    | 1024     | 24    | 16    |
 * | XL   | 1152     | 28    | 16    |
 *
 * Parameter names: `patches`, `time.in`, `time.out`, `classes`, `blocks.I.{attention.qkv,attention.out,feedForward.in,
 * feedForward.out,modulation}`, `output.{modulation,linear}`; each with `.weight` and `.bias`. Rows of `qkv` are all q, all
 * k, all v; of a modulation shift, scale, gate; of `output.linear` row, column, channel of the patch.
 */
import * as z from 'zod'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import type { NetworkDefinition } from './network-definition.js'
import { hiddenChannels, transformerOptions } from './transformer.js'

const ditSchema = z.strictObject({ kind: z.literal('dit'), ...transformerOptions, ...conditioningOptions })

export type DitSettings = z.output<typeof ditSchema>
export type DitOptions = z.input<typeof ditSchema>

export const dit: NetworkDefinition<DitSettings> & { readonly schema: typeof ditSchema } = {
  name: 'dit',
  schema: ditSchema,
  options: defineOptions('dit', ditSchema),
  native: (settings, image, classes, outputs) => ({
    ...settings,
    hiddenChannels: hiddenChannels(settings, image, 4),
    ...dataShape(settings, image, classes, outputs),
  }),
}
