/** What the importers of improved-diffusion and guided-diffusion share: their options, and the model they make of the files. */
import * as z from 'zod'
import type { ImageShape } from '../../datasets/data-set.js'
import type { DiffusionOptions } from '../../diffusion/diffusion-options.js'
import { DpmError } from '../../errors.js'
import { copyOption } from './copies.js'
import { asked, classNames, type ImportedModel } from './define-import.js'
import type { ImportSource } from './import-source.js'
import { openaiNames, openaiWeights, readOpenaiFiles } from './openai-files.js'
import { type OpenaiUnet, openaiNetwork, openaiPiece, readOpenaiUnet } from './openai-unet.js'

/** Flags of their training scripts that leave no trace in the weights, under our names. */
export const openaiOptions = {
  ...copyOption,
  imageSize: z.int().min(1).optional().describe('--image_size: height and width of the images'),
  heads: z.int().min(1).optional().describe('--num_heads'),
  headChannels: z.int().min(1).optional().describe('--num_head_channels, instead of heads'),
  dropout: z.number().min(0).lt(1).default(0).describe('--dropout, for training on'),
  diffusionSteps: z.int().min(1).optional().describe('--diffusion_steps'),
  noiseSchedule: z.enum(['linear', 'cosine']).optional().describe('--noise_schedule'),
  predictClean: z.boolean().default(false).describe('--predict_xstart'),
  superResolution: z
    .int()
    .min(2)
    .optional()
    .describe('how many times larger a super-resolution model makes the image: --large_size / --small_size'),
} as const

export type OpenaiOptions = z.output<z.ZodObject<typeof openaiOptions>>

/** What the two programs do otherwise. */
export interface OpenaiHabits {
  /** Sizes of images by their levels' multipliers, where a program's own table says so. */
  readonly imageSizes: Readonly<Record<string, number>>
  /** Layout of qkv; undefined where it must be said. */
  readonly headLayout: 'split' | 'interleaved' | undefined
  /** --rescale_timesteps */
  readonly rescaledTimes: boolean
}

export async function readOpenaiModel(
  source: ImportSource,
  options: OpenaiOptions,
  habits: OpenaiHabits,
): Promise<ImportedModel> {
  const weights = await openaiWeights(source, openaiNames, options.weights)
  if (!weights) {
    throw new DpmError(
      'DPM_FILE_INVALID',
      source.isFolder
        ? `There is no modelNNNNNN.pt and no ema_RATE_NNNNNN.pt with a U-Net in ${JSON.stringify(source.path)}.`
        : `${JSON.stringify(source.path)} does not hold the U-Net of improved- or guided-diffusion: no input_blocks, middle_block and output_blocks, whatever stands before their names.`,
    )
  }
  const found = readOpenaiUnet(weights, source.path)
  const { image, conditionChannels, learned } = channelsOf(found, options, source.path)
  // Their super-resolution models of 256×256 and of 512×512 have the same levels.
  const tabled = options.superResolution === undefined ? habits.imageSizes[found.multipliers.join()] : undefined
  const { imageSize, heads, headLayout, diffusionSteps, noiseSchedule } = asked({
    imageSize: { value: options.imageSize ?? tabled, about: 'height and width of the images' },
    heads: {
      value: options.heads ?? (options.headChannels === undefined ? undefined : 1),
      about: 'attention heads, or --set headChannels=… for the channels of each',
    },
    headLayout: {
      // With one head there is nothing to lay out.
      value: options.heads === 1 ? 'split' : habits.headLayout,
      about: '"split" where it was trained with --use_new_attention_order True, else "interleaved"',
    },
    diffusionSteps: { value: options.diffusionSteps, about: 'times of the noise schedule, mostly 1000 or 4000' },
    noiseSchedule: { value: options.noiseSchedule, about: 'linear or cosine' },
  })
  const files = await readOpenaiFiles(source, openaiNames, options.weights)
  return {
    network: openaiNetwork(
      found,
      { heads, headChannels: options.headChannels ?? null, headLayout, dropout: options.dropout },
      imageSize,
      conditionChannels,
    ),
    diffusion: diffusionOf({ diffusionSteps, noiseSchedule, learned, clean: options.predictClean }, habits),
    ...(conditionChannels > 0 ? { condition: { kind: 'low-resolution', factor: options.superResolution ?? 4 } } : {}),
    image: { ...image, height: imageSize, width: imageSize },
    classes: classNames(found.classes, source.path),
    ...files,
    piece: ({ name }) => openaiPiece(name, found),
  }
}

function diffusionOf(
  {
    diffusionSteps,
    noiseSchedule,
    learned,
    clean,
  }: {
    readonly diffusionSteps: number
    readonly noiseSchedule: 'linear' | 'cosine'
    readonly learned: boolean
    readonly clean: boolean
  },
  { rescaledTimes }: OpenaiHabits,
): DiffusionOptions {
  return {
    schedule: openaiSchedule(noiseSchedule, diffusionSteps),
    prediction: clean ? 'clean' : 'noise',
    variance: learned ? 'learned-range' : 'fixed-large',
    ...(learned ? { bound: 'hybrid' } : {}),
    timeLabel: rescaledTimes ? 'thousandths' : 'step',
  }
}

/** The named schedules of both programs. */
export function openaiSchedule(name: 'linear' | 'cosine', steps: number): NonNullable<DiffusionOptions['schedule']> {
  return name === 'linear' ? { kind: 'linear', steps, scaleToSteps: true } : { kind: 'cosine', steps }
}

interface Channels {
  readonly image: Pick<ImageShape, 'channels'>
  readonly conditionChannels: number
  readonly learned: boolean
}

/**
 * A super-resolution model sees two images, and a learned variance is a second half of the output: 3 → 3, 3 → 6, 6 → 3 and
 * 6 → 6 channels for colours.
 */
function channelsOf({ inputChannels, outputChannels }: OpenaiUnet, options: OpenaiOptions, path: string): Channels {
  const isSuper = options.superResolution !== undefined
  const channels = isSuper ? inputChannels / 2 : inputChannels
  const ratio = outputChannels / channels
  if (!isSuper && inputChannels === 6) {
    asked({
      superResolution: {
        value: undefined,
        about: 'the network sees two images of 3 channels: how many times larger it makes the first, such as 4',
      },
    })
  }
  if (Number.isInteger(channels) && (ratio === 1 || ratio === 2)) {
    return { image: { channels }, conditionChannels: isSuper ? channels : 0, learned: ratio === 2 }
  }
  throw new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} takes ${inputChannels} channels and gives ${outputChannels}: neither an image and its noise nor a variance beside it.`,
  )
}
