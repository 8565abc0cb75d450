/**
 * The U-Net of the course "How diffusion models work" (DeepLearning.AI, the sprites data), after its description: small, with
 * batch norm, and told time and class by vectors that shift and scale the way up.
 *
 * Skeleton, for channels n: a residual block of x, (shortcut x + block x) / 1.414; two levels, n and 2n, of two blocks and 2×2
 * pooling by maxima; the coarsest level's mean (the course: 4×4 of its 16×16 images), GELU, a transposed convolution back to
 * that level's size, GroupNorm of 8, ReLU. Then twice, from the coarse level: h ← h · c + t beside the level's skip, a transposed
 * 2×2 convolution, two blocks. At the end beside the first block's result convolution, GroupNorm of 8, ReLU, convolution.
 * A block is 3×3 convolution, batch norm, GELU, twice. c and t are linear, GELU, linear of the class (one 1, or zeros for "no
 * class") and of the time label, for which the course takes t / T (`fraction`).
 *
 * In the course's notebook the first block's shortcut is made anew, at random, at every call, so that it neither learns nor
 * gives the same twice. Here it is a layer like the others; with `courseCompat` it is drawn once, from the seed, and stays
 * untrained. (Its other defect is no network's: it mixes training images with (1 - abar) noise instead of sqrt(1 - abar), but
 * samples with the latter. A process here has one level for each time, so that cannot be said, and need not be.)
 *
 * Parameter names: `input.{conv1,norm1,conv2,norm2,shortcut}`, `down.L.blocks.I.…`, `up.L.blocks.I.…`, `up.L.enlarge`,
 * `up.start.{conv,norm}`, `time.L.{in,out}`, `context.L.{in,out}`, `output.{conv1,norm,conv2}`; a batch norm has `weight`,
 * `bias` and the running `mean` and `variance`. Transposed convolutions are I×O×H×W.
 */
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import { initializationSchema } from './initialization.js'
import type { NetworkDefinition } from './network-definition.js'

const contextUnetSchema = z.strictObject({
  kind: z.literal('context-unet'),
  channels: z.int().min(8).multipleOf(8).default(64).describe('channels of the first level, in eights'),
  courseCompat: z
    .boolean()
    .default(false)
    .describe("the first block's shortcut stays as it was drawn, as in the course, instead of learning"),
  initialization: initializationSchema.default('torch').describe('how convolutions and linear layers start'),
  ...conditioningOptions,
})

export type ContextUnetSettings = z.output<typeof contextUnetSchema>
export type ContextUnetOptions = z.input<typeof contextUnetSchema>

export const contextUnet: NetworkDefinition<ContextUnetSettings> & { readonly schema: typeof contextUnetSchema } = {
  name: 'context-unet',
  schema: contextUnetSchema,
  options: defineOptions('context-unet', contextUnetSchema),
  native(settings, image, classes, outputs) {
    for (const side of ['height', 'width'] as const) {
      if (image[side] % 4 === 0) continue
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `Expected an image ${side} that is a multiple of 4 for the network "context-unet", which halves it twice, but the data has ${image[side]}. Resize the images.`,
      )
    }
    return { ...settings, ...dataShape(settings, image, classes, outputs) }
  },
}
