/**
 * Modified DDP: two networks for the two directions of a diffusion, trained together on the variational bound. The forward
 * step's network bends the noising kernel, q(x_t | x_0) = N(alpha_t F(x_0, t), sigma_t²), the reverse step's predicts what takes x_t
 * back: `lib/diffusion/forward-step.ts` has the process and its bound. Published relatives are DiffEnc (Nielsen et al. 2023, arXiv
 * 2310.19789), whose posterior this has, and neural diffusion models (Bartosh et al. 2023, arXiv 2310.08337). The mean alone is
 * learned; the scale sigma_t is the schedule's.
 *
 *   F(x_0, t) = x_0 + gate_t f(x_0, t)       f: the forward step's network, which starts at 0, as DDPM
 *
 * Drawing needs the reverse step alone. Both are U-shaped, with plain blocks of batch norm: from the finest level down, halved
 * by means, one block of each; up again, doubled, beside what was seen on the way; a convolution.
 *
 *   block: h = leaky(norm(conv x) + W e),  leaky(norm(conv drop(h)) + shortcut x)
 *   e = leaky(W2 leaky(W1 sinusoids(scale · time label)) + class)
 *
 * The label is t / T (`fraction`). The scale is 1000 in the reverse step, 2π in the forward step: the bound counts F_s - F_t by
 * sigma_t² / beta_{t|s}, so F must not jump from one time to the next, as sinusoids of the step's number do.
 *
 * leaky is a ReLU of slope 0.2, convolutions are 3×3, and He's law knows the slope. The class is the reverse step's alone.
 *
 * Parameter names: `forwardStep.…` and `reverseStep.…`, each with `time.{in,out}`, `classes`, `input`, `down.L.…`, `up.L.…`,
 * `output`; a block has `conv1`, `norm1`, `time`, `conv2`, `norm2`, and `shortcut` where its channels change.
 */
import * as z from 'zod'
import { createSchedule } from '../diffusion/diffusion-options.js'
import { DpmError } from '../errors.js'
import { defineOptions } from '../options/options.js'
import { conditioningOptions, dataShape } from './conditioning.js'
import { initializationSchema } from './initialization.js'
import type { NetworkDefinition } from './network-definition.js'

const modifiedDdpSchema = z.strictObject({
  kind: z.literal('modified-ddp'),
  channels: z.int().min(2).default(64).describe("channels of the reverse step's first level"),
  forwardChannels: z.int().min(2).default(32).describe("channels of the forward step's first level"),
  multipliers: z
    .array(z.int().min(1))
    .min(1)
    .max(10)
    .default([1, 2, 4])
    .describe('channels of each level, as multiples; each after the first halves the image'),
  dropout: z.number().min(0).lt(1).default(0.1).describe('dropout between the two convolutions of a block'),
  initialization: initializationSchema.default('he-normal').describe('how the layers start; the last ones start at 0'),
  ...conditioningOptions,
})

export type ModifiedDdpSettings = z.output<typeof modifiedDdpSchema>
export type ModifiedDdpOptions = z.input<typeof modifiedDdpSchema>

export const modifiedDdp: NetworkDefinition<ModifiedDdpSettings> & { readonly schema: typeof modifiedDdpSchema } = {
  name: 'modified-ddp',
  schema: modifiedDdpSchema,
  options: defineOptions('modified-ddp', modifiedDdpSchema),
  learnsForwardStep: true,
  native(settings, image, classes, outputs) {
    const divisor = 2 ** (settings.multipliers.length - 1)
    for (const side of ['height', 'width'] as const) {
      if (image[side] % divisor === 0) continue
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `Expected an image ${side} that is a multiple of ${divisor} for the ${settings.multipliers.length} levels of \`network.multipliers\` but the data has ${image[side]}. Give fewer levels or resize the images.`,
      )
    }
    return { ...settings, ...dataShape(settings, image, classes, outputs) }
  },
  requireProcess(_, { schedule, bound, loss, coupling, timeLabel }) {
    const wrong = [
      createSchedule(schedule).steps === undefined &&
        `\`diffusion.schedule\` "${schedule.kind}" has no steps: take one that has`,
      bound.kind !== 'vlb' &&
        `\`diffusion.bound\` "${bound.kind}" would not teach the forward step what the bound says: set it to "vlb"`,
      timeLabel !== 'fraction' &&
        `\`diffusion.timeLabel\` "${timeLabel}" is not the time from 0 to 1 that it reads: set it to "fraction"`,
      loss === 'sliced' && '`diffusion.loss` "sliced" knows no forward step: set it to "l2"',
      coupling !== 'independent' &&
        `\`diffusion.coupling\` "${coupling}" changes what the bound is of: set it to "independent"`,
    ].filter((cure) => cure !== false)
    if (wrong.length === 0) return
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The network "modified-ddp" learns both directions by the bound. ${wrong.join('; ')}.`,
    )
  },
}
