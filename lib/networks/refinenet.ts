/**
 * The RefineNets of NCSN (Song and Ermon 2019, arXiv 1907.05600, appendix A) and NCSNv2 (2020, arXiv 2006.09011, appendix B),
 * after Lin et al. 2017 (arXiv 1611.06612).
 *
 * Skeleton: input convolution; per level `blocks` residual blocks of InstanceNorm++, activation, convolution, twice. The first
 * block of a level below the first either halves the image (dilation 1) or keeps its size and dilates. Then from the coarsest
 * level to the finest a refining block: residual convolution units on the level and on what came before, their sum at the
 * level's size (convolution, bilinear), chained residual pooling (5×5, stride 1), residual convolution units; InstanceNorm++,
 * activation, convolution. The published layouts, channels 128 (NCSN on MNIST: 64):
 *
 *     multipliers  dilations
 *     1,2,2,2      1,1,2,4       NCSN; NCSNv2 to 64×64
 *     1,2,2,4,4    1,1,1,2,4     NCSNv2Deeper, 96×96 and 128×128
 *     1,2,2,2,4,4  1,1,1,1,2,4   NCSNv2Deepest, 256×256
 *
 * NCSN's norms, also in its refining blocks, have a weight, means and a bias for each noise level: row t is time t, 0 the least
 * noise (their code counts from the most), and its pooling takes means. NCSNv2 is not told the level and pools by maxima; its
 * code's division by sigma is what the prediction `{ kind: 'score', scaled: true }` means. Their 2x - 1 is the house's range.
 *
 * Parameter names: `input`, `down.L.blocks.I.{norm1,conv1,norm2,conv2,shortcut}`, `refine.L.adapt.S.U.I.{norm,conv}` (input S,
 * unit U, convolution I), `refine.L.fuse.S.{norm,conv}`, `refine.L.pool.I.{norm,conv}`, `refine.L.output.U.I.{norm,conv}`,
 * `output.{norm,conv}`; a norm has `weight`, `means` and `bias`. Convolutions of units and pooling have no bias.
 */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import { createSchedule } from '../diffusion/diffusion-options.js'
import { DpmError } from '../errors.js'
import type { NativeSettings } from '../native/binding.js'
import { defineOptions } from '../options/options.js'
import { dataShape, unconditionalOptions } from './conditioning.js'
import { initializationSchema } from './initialization.js'
import type { NetworkDefinition } from './network-definition.js'

const perLevel = z.array(z.int().min(1)).min(2).max(8)

const refinenetSchema = z
  .strictObject({
    kind: z.literal('refinenet'),
    channels: z.int().min(2).default(128).describe('channels of the first level'),
    multipliers: perLevel.default([1, 2, 2, 2]).describe('channels of each level, as multiples'),
    dilations: perLevel
      .default([1, 1, 2, 4])
      .describe('of the convolutions of each level; below the first, a level with 1 halves the image'),
    blocks: z.int().min(1).max(64).default(2).describe('residual blocks per level'),
    levels: z
      .int()
      .min(1)
      .max(10_000)
      .nullable()
      .default(null)
      .describe('noise levels that have norms of their own (NCSN); null: the network is not told the level (NCSNv2)'),
    pooling: z.enum(['max', 'mean']).default('max').describe('chained residual pooling: max in NCSNv2, mean in NCSN'),
    activation: z.enum(['elu', 'relu', 'leaky-relu', 'silu']).default('elu').describe('nonlinearity behind the norms'),
    initialization: initializationSchema
      .default('torch')
      .describe('how the convolutions start; norms start near 1 (standard deviation 0.02)'),
    ...unconditionalOptions,
  })
  .refine(({ multipliers, dilations }) => multipliers.length === dilations.length, {
    path: ['dilations'],
    error: 'Expected as many dilations as multipliers',
  })
  .refine(({ dilations }) => dilations[0] === 1, {
    path: ['dilations'],
    error: 'Expected 1 as the first: no published network dilates its first level',
  })

export type RefinenetSettings = z.output<typeof refinenetSchema>
export type RefinenetOptions = z.input<typeof refinenetSchema>

export const refinenet: NetworkDefinition<RefinenetSettings> & { readonly schema: typeof refinenetSchema } = {
  name: 'refinenet',
  schema: refinenetSchema,
  options: defineOptions('refinenet', refinenetSchema),
  native: refinenetNative,
  requireProcess({ levels }, { schedule, timeLabel }) {
    if (levels === null) return
    const { steps } = createSchedule(schedule)
    if (steps === levels && timeLabel === 'step') return
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The network has norms for \`levels\` ${levels}, chosen by the time label "step", but the schedule "${schedule.kind}" has ${steps ?? 'continuous'} times and the label is "${timeLabel}". Make \`network.levels\` the schedule's steps, or null.`,
    )
  },
}

function refinenetNative(
  settings: RefinenetSettings,
  image: ImageShape,
  classes: number,
  outputs: 1 | 2 = 1,
): NativeSettings {
  const halvings = settings.dilations.slice(1).filter((dilation) => dilation === 1).length
  const divisor = 2 ** halvings
  for (const side of ['height', 'width'] as const) {
    if (image[side] % divisor === 0) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected an image ${side} that is a multiple of ${divisor} for \`network.dilations\` that halve ${halvings} times but the data has ${image[side]}. Dilate more levels or resize the images.`,
    )
  }
  return { ...settings, levels: settings.levels ?? 0, ...dataShape(settings, image, classes, outputs) }
}
