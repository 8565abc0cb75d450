/**
 * The magnitude-preserving U-Net of Karras et al. 2024 (arXiv 2312.02696, configuration G, figure 21), EDM2's: no norms of
 * groups and no biases; instead every layer keeps the mean square of its elements, and of every weight only the direction
 * counts.
 *
 *   layer: g w / |w| x, a row of w for each output; while training, w itself is brought back to mean square one after each
 *     update (forced weight normalisation), so that the learning rate alone says how fast a weight turns
 *   silu(x) / 0.596;  sum (1-t) a + t b over sqrt((1-t)^2 + t^2);  joined channels scaled so that either side counts as t says
 *   embedding = silu(sum(linear(sqrt(2) cos(f label + phase)), class column)), f and phase random and fixed
 *   block: (encoder: x = x / its root mean square over channels;)  y = conv(silu(x)) (1 + gain linear(embedding));
 *     x = sum(x, conv(dropout(silu(y))));  x = sum(x, attention of q, k, v at magnitude one);  clip
 *
 * The network sees one more channel of ones; its output has a gain that starts at zero.
 *
 * Sizes are named by `channels`: XXS 64, XS 128 (125 million parameters), S 192 (280), M 256 (498), L 320 (777), XL 384
 * (1119), XXL 448 (1523). M and larger have dropout 0.1.
 *
 * Parameter names: `noise`, `classes`, `input`, `encoder.L.resample`, `encoder.L.blocks.I`, `middle.0`, `middle.1`,
 * `decoder.L.…` as `encoder.L.…`, `output`; in a block `{conv1,conv2,time,shortcut,attention.qkv,attention.out}`, each with
 * `.weight`; `time.gain` and `output.gain` are scalars; `noise.frequencies` and `noise.phases` are kept, not learned. Rows of
 * `qkv` are head by head, channel by channel, q, k, v; `classes.weight` has a column per class, and none for no class.
 */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError, expected } from '../errors.js'
import type { NativeSettings } from '../native/binding.js'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import type { NetworkDefinition } from './network-definition.js'

const balance = z.number().min(0).max(1)
const width = z.int().min(1).max(16_384)

const edm2UnetSchema = z.strictObject({
  kind: z.literal('edm2-unet'),
  channels: width.default(192).describe('channels that the multipliers multiply'),
  multipliers: z
    .array(z.int().min(1))
    .min(1)
    .max(8)
    .default([1, 2, 3, 4])
    .describe('channels of each level, as multiples'),
  noiseMultiplier: width
    .nullable()
    .default(null)
    .describe('Fourier features of the noise label, as a multiple; null: of the first level'),
  embeddingMultiplier: width
    .nullable()
    .default(null)
    .describe('channels of the embedding, as a multiple; null: the largest'),
  blocks: z
    .int()
    .min(1)
    .max(64)
    .default(3)
    .describe('residual blocks per level on the way down; one more on the way up'),
  attentionResolutions: z
    .array(z.int().min(1))
    .default([16, 8])
    .describe('image heights at which blocks attend; the first in the middle does anyway'),
  headChannels: width.default(64).describe('channels per attention head'),
  labelBalance: balance.default(0.5).describe('how much of the embedding is the class'),
  concatBalance: balance.default(0.5).describe('how much of a joined input is the skip'),
  residualBalance: balance.default(0.3).describe('how much of a sum is the residual branch'),
  attentionBalance: balance.default(0.3).describe('how much of a sum is attention'),
  dropout: z.number().min(0).lt(1).default(0).describe('dropout before the second convolution of a block'),
  clip: z.number().min(0).default(256).describe('largest absolute value that leaves a block; 0 does not clip'),
  ...conditioningOptions,
  classConditional: conditioningOptions.classConditional.describe(
    'a learned vector per class is mixed with the noise label',
  ),
  nullClass: conditioningOptions.nullClass.describe('one more class that means "no class": a vector of zeros'),
})

export type Edm2UnetSettings = z.output<typeof edm2UnetSchema>
export type Edm2UnetOptions = z.input<typeof edm2UnetSchema>

export const edm2Unet: NetworkDefinition<Edm2UnetSettings> & { readonly schema: typeof edm2UnetSchema } = {
  name: 'edm2-unet',
  schema: edm2UnetSchema,
  options: defineOptions('edm2-unet', edm2UnetSchema),
  native: edm2UnetNative,
}

function edm2UnetNative(
  settings: Edm2UnetSettings,
  image: ImageShape,
  classes: number,
  outputs: 1 | 2 = 1,
): NativeSettings {
  const { channels, multipliers, headChannels, attentionResolutions } = settings
  const divisor = 2 ** (multipliers.length - 1)
  for (const size of ['height', 'width'] as const) {
    if (image[size] % divisor === 0) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected an image ${size} that is a multiple of ${divisor} for \`network.multipliers\` with ${multipliers.length} levels but the data has ${image[size]}. Use fewer levels or resize the images.`,
    )
  }
  const widths = multipliers.map((multiplier) => multiplier * channels)
  for (const [level, width] of widths.entries()) {
    const attends = attentionResolutions.includes(image.height / 2 ** level) || level === widths.length - 1
    if (!attends || width % headChannels === 0) continue
    throw expected(
      `a divisor of ${width}, the channels of a level with attention,`,
      'network.headChannels',
      headChannels,
      'Use other channels, multipliers or heads.',
      'DPM_INVALID_OPTION',
    )
  }
  const { noiseMultiplier, embeddingMultiplier, multipliers: _, ...rest } = settings
  return {
    ...rest,
    widths,
    noiseChannels: channels * (noiseMultiplier ?? multipliers[0] ?? 1),
    embeddingChannels: channels * (embeddingMultiplier ?? Math.max(...multipliers)),
    ...dataShape(settings, image, classes, outputs),
  }
}
