/**
 * The U-ViT of Bao et al. 2023 (arXiv 2209.12152): a plain vision transformer to which everything is a token, with long
 * skips.
 *
 * Tokens: one for the class (where there are classes), one for the time (its cosines and sines, through a feed-forward
 * where that is chosen), one for each patch; learned positions are added. depth / 2 blocks, one in the middle, depth / 2
 * blocks that read the skips: x = linear(x beside the output of the block opposite). A block:
 *
 *   x += attention(norm(x));  x += feedForward(norm(x))        feedForward: linear, GELU, linear
 *
 * A norm, a linear map to patches and a 3×3 convolution end it.
 *
 * | size           | patch | channels | depth | heads | timeFeedForward |
 * | -------------- | ----- | -------- | ----- | ----- | --------------- |
 * | S (CIFAR-10)   | 2     | 512      | 12    | 8     | false           |
 * | M (ImageNet-64)| 4     | 768      | 16    | 12    | false           |
 * | L (latents)    | 2     | 1024     | 20    | 16    | false           |
 * | H (latents)    | 2     | 1152     | 28    | 16    | false           |
 *
 * Parameter names: `patches`, `time.in`, `time.out`, `classes`, `positions`, `in.I.…`, `middle.…`, `out.I.…` with
 * `{skip,norm1,attention.qkv,attention.out,norm2,feedForward.in,feedForward.out}`, `output.{norm,linear,conv}`; each with
 * `.weight` and, but for `classes` and usually `qkv`, `.bias`.
 */
import * as z from 'zod'
import { expected } from '../errors.js'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import type { NetworkDefinition } from './network-definition.js'
import { hiddenChannels, transformerOptions } from './transformer.js'

const uVitSchema = z.strictObject({
  kind: z.literal('u-vit'),
  ...transformerOptions,
  channels: transformerOptions.channels.default(512),
  depth: transformerOptions.depth.default(12).describe('transformer blocks beside the middle one; an even number'),
  heads: transformerOptions.heads.default(8),
  qkvBias: z.boolean().default(false).describe('a bias of queries, keys and values'),
  timeFeedForward: z
    .boolean()
    .default(false)
    .describe('linear, SiLU, linear between the sinusoids of the time and its token'),
  skips: z.boolean().default(true).describe('whether the later blocks read the outputs of the earlier ones'),
  finalConvolution: z.boolean().default(true).describe('a 3×3 convolution after the patches, against their seams'),
  ...conditioningOptions,
  classConditional: conditioningOptions.classConditional.describe('a learned token per class'),
})

export type UVitSettings = z.output<typeof uVitSchema>
export type UVitOptions = z.input<typeof uVitSchema>

export const uVit: NetworkDefinition<UVitSettings> & { readonly schema: typeof uVitSchema } = {
  name: 'u-vit',
  schema: uVitSchema,
  options: defineOptions('u-vit', uVitSchema),
  native(settings, image, classes, outputs) {
    if (settings.depth % 2 === 1) {
      throw expected(
        'an even number',
        'network.depth',
        settings.depth,
        'Half of the blocks come before the middle one, half after it.',
        'DPM_INVALID_OPTION',
      )
    }
    return {
      ...settings,
      hiddenChannels: hiddenChannels(settings, image, 2),
      ...dataShape(settings, image, classes, outputs),
    }
  },
}
