/**
 * Folders of Hugging Face's diffusers: a pipeline (`model_index.json`, `unet/`, `scheduler/`; in older ones all in one folder), or
 * what its training script leaves (`unet/`, `unet_ema/`), or a `UNet2DModel` alone. Pipelines that work on codes of images, or are
 * told a text, are refused.
 */
import * as z from 'zod'
import { DpmError, expected } from '../../errors.js'
import type { NetworkOptions } from '../../networks/list.js'
import { parseOptions } from '../../options/options.js'
import type { ArchiveTensor, Weights } from '../archives/tensor-archive.js'
import { diffusersNames, formerName } from '../diffusers/parameter-names.js'
import { readScheduler, type SchedulerReading } from '../diffusers/scheduler-config.js'
import { optionsOfConfig, type UnetConfig, unetConfigSchema, unknownUnetKeys } from '../diffusers/unet-config.js'
import { copyOption } from './copies.js'
import { asked, classNames, defineImport, type ImportedModel } from './define-import.js'
import { type DiffusersChoice, diffusersWeights } from './diffusers-weights.js'
import type { ImportSource } from './import-source.js'
import { concatenated, from, type Piece, pointwise } from './pieces.js'

const schedules = ['linear', 'scaled-linear', 'cosine', 'sigmoid-betas'] as const

const options = z.strictObject({
  ...copyOption,
  variant: z
    .string()
    .optional()
    .describe(
      'which files of weights, such as fp16 or non_ema; those without a variant, or the only one there, when absent',
    ),
  imageSize: z.int().min(1).optional().describe('height and width of the images, where sample_size is null'),
  classCount: z.int().min(1).optional().describe('number of classes, where num_class_embeds is null'),
  noiseSchedule: z
    .enum(schedules)
    .optional()
    .describe(`the diffusion, where the folder has no scheduler or another one than it says: ${schedules.join(', ')}`),
  diffusionSteps: z.int().min(1).optional().describe('its times, mostly 1000'),
  prediction: z.enum(['noise', 'clean', 'velocity']).optional().describe('what the network predicts'),
})
type DiffusersOptions = z.output<typeof options>

export const diffusers = defineImport({
  name: 'diffusers',
  description: 'a folder of diffusers: a pipeline of UNet2DModel and scheduler, or the UNet2DModel alone',
  options,
  async recognises(source) {
    if (!source.isFolder) return false
    if (source.names.includes('model_index.json')) return true
    return (await configOf(source, '')) !== undefined || (await configOf(source, 'unet/')) !== undefined
  },
  async read(source, chosen) {
    const pipeline = await readPipeline(source)
    const place = (await configOf(source, 'unet/')) === undefined ? '' : 'unet/'
    const config = await unetConfig(source, place)
    const { image, outputs, classes } = dataOf(config, chosen)
    const reading = await diffusionOf(source, pipeline, chosen)
    requireOutputs(reading, outputs, config)
    const { weights: trained, notes } = await diffusersWeights(source, place, chosen)
    const averaged = await averagedWeights(source, place, chosen)
    const network = optionsOfConfig(config) as NetworkOptions
    const levels = config['block_out_channels']
    const unread = unknownUnetKeys(config)
    return {
      network,
      diffusion: reading.diffusion,
      sampling: reading.sampling,
      image,
      classes: classNames(classes, source.path),
      ...(averaged ? { step: averaged.step } : {}),
      trained,
      averages: averaged ? [averaged.weights] : [],
      piece: ({ name }) => pieceOf(name, Array.isArray(levels) ? levels.length : 4, trained),
      isUnused: (name) => name === formerName('time_proj.weight') && trained.has('time_proj.weight'),
      notes: [
        ...(unread.length > 0 ? [`config.json has what UNet2DModel does not read: ${unread.join(', ')}.`] : []),
        ...reading.notes,
        ...notes,
      ],
    } satisfies ImportedModel
  },
})

async function configOf(source: ImportSource, place: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const config = await source.json(`${place}config.json`)
  const isConfig = typeof config === 'object' && config !== null && '_class_name' in config
  return isConfig ? (config as Readonly<Record<string, unknown>>) : undefined
}

const pipelineSchema = z.looseObject({
  _class_name: z.string(),
  scheduler: z.tuple([z.string(), z.string()]).optional(),
})
type Pipeline = z.output<typeof pipelineSchema>

/** Parts of a pipeline that make its U-Net another one than a network of images. */
const otherParts: Readonly<Record<string, string>> = {
  vqvae: 'it draws codes, of which its VQ-VAE makes images',
  vae: 'it draws codes, of which its VAE makes images',
  text_encoder: 'it is told a text',
  mel: 'it draws spectrograms of sound',
}

/** @throws DpmError DPM_FILE_INVALID for a pipeline that needs more than a U-Net. */
async function readPipeline(source: ImportSource): Promise<Pipeline | undefined> {
  const index = await source.json('model_index.json')
  if (index === undefined) return undefined
  const pipeline = parseOptions(pipelineSchema, index, `${source.path}/model_index.json`)
  const isPresent = (name: string): boolean => Array.isArray(pipeline[name]) && pipeline[name][1] !== null
  const names = Object.keys(pipeline).filter((name) => !name.startsWith('_') && isPresent(name))
  const foreign = names.filter((name) => name !== 'unet' && name !== 'scheduler')
  if (names.includes('unet') && foreign.length === 0) return pipeline
  const [part = ''] = foreign
  const why = names.includes('unet')
    ? (otherParts[part] ?? `it has a ${part} beside its U-Net`)
    : `it has no unet, but ${names.join(', ')}`
  throw new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(source.path)} is a ${pipeline._class_name}, which cannot be imported: ${why}. Pipelines of a UNet2DModel and a scheduler can, such as DDPMPipeline, DDIMPipeline and PNDMPipeline.`,
    { details: { path: source.path, parts: names } },
  )
}

async function unetConfig(source: ImportSource, place: string): Promise<UnetConfig> {
  const config = await configOf(source, place)
  const where = `${source.path}/${place}config.json`
  if (config?.['_class_name'] === 'UNet2DModel') return parseOptions(unetConfigSchema, config, where)
  throw expected('UNet2DModel', '_class_name', config?.['_class_name'], `(in ${where})`, 'DPM_FILE_INVALID')
}

function dataOf(
  config: UnetConfig,
  chosen: DiffusersOptions,
): { readonly image: ImportedModel['image']; readonly outputs: number; readonly classes: number } {
  const { sample_size: size, in_channels: channels, out_channels: outChannels } = config
  const { imageSize } = asked({
    imageSize: {
      value: chosen.imageSize ?? size ?? undefined,
      about: 'height and width of the images (sample_size is null)',
    },
    ...(config.class_embed_type === null || config.num_class_embeds !== null
      ? {}
      : { classCount: { value: chosen.classCount, about: 'number of classes (num_class_embeds is null)' } }),
  })
  const [height, width] = typeof imageSize === 'number' ? [imageSize, imageSize] : imageSize
  const outputs = outChannels / channels
  if (outputs !== 1 && outputs !== 2) {
    throw expected(
      `${channels} (as in_channels), or ${2 * channels} with a learned variance,`,
      'out_channels',
      outChannels,
      'Networks that see another image beside x are not imported.',
      'DPM_FILE_INVALID',
    )
  }
  return { image: { channels, height, width }, outputs, classes: chosen.classCount ?? config.num_class_embeds ?? 0 }
}

async function diffusionOf(
  source: ImportSource,
  pipeline: Pipeline | undefined,
  { noiseSchedule, diffusionSteps, prediction }: DiffusersOptions,
): Promise<SchedulerReading> {
  const own = (await source.json('scheduler/scheduler_config.json')) ?? (await source.json('scheduler_config.json'))
  const isSaid = noiseSchedule !== undefined || diffusionSteps !== undefined || prediction !== undefined
  if (own !== undefined && !isSaid) {
    return readScheduler(own, pipeline?.scheduler?.[1], `the scheduler_config.json of ${source.path}`)
  }
  const said = asked({
    noiseSchedule: { value: noiseSchedule, about: `one of ${schedules.join(', ')} (DDPM: linear)` },
    diffusionSteps: { value: diffusionSteps, about: 'times of the noise schedule, mostly 1000' },
    prediction: { value: prediction, about: 'what the network predicts: noise, clean or velocity' },
  })
  return {
    diffusion: { schedule: { kind: said.noiseSchedule, steps: said.diffusionSteps }, prediction: said.prediction },
    sampling: {},
    notes: own === undefined ? [] : ['The scheduler of the folder was left aside for what --set says.'],
  }
}

function requireOutputs({ diffusion }: SchedulerReading, outputs: number, config: UnetConfig): void {
  const isLearned = diffusion.variance === 'learned-range'
  if (isLearned === (outputs === 2)) return
  throw expected(
    isLearned
      ? `${2 * config.in_channels}, an image and its variance as variance_type "learned_range" says,`
      : `${config.in_channels}, an image as the scheduler's variance_type says,`,
    'out_channels',
    config.out_channels,
    '',
    'DPM_FILE_INVALID',
  )
}

/** What the training script keeps of the average beside the trained weights. */
async function averagedWeights(
  source: ImportSource,
  place: string,
  chosen: DiffusersChoice,
): Promise<{ readonly weights: Weights; readonly step: number } | undefined> {
  if (place === '') return undefined
  const config = await configOf(source, 'unet_ema/')
  if (config === undefined) return undefined
  const step = Number(config['optimization_step'] ?? 0)
  const { weights } = await diffusersWeights(source, 'unet_ema/', chosen)
  return { weights, step: Number.isSafeInteger(step) ? step : 0 }
}

/** q, k and v are three tensors there; before 0.13 they, and the projection, had other names, and may be convolutions. */
function pieceOf(parameter: string, levels: number, weights: Weights): Piece {
  const pieces = diffusersNames(parameter, levels).map((name) => {
    const former = formerName(name)
    const found = !weights.has(name) && weights.has(former) ? former : name
    return isPointwise(weights.get(found), parameter) ? pointwise(from(found)) : from(found)
  })
  const [first] = pieces
  return pieces.length === 1 && first ? first : concatenated(pieces)
}

function isPointwise(tensor: ArchiveTensor | undefined, parameter: string): boolean {
  return tensor?.shape.length === 4 && /\.(qkv|out)\.weight$/.test(parameter) && /attention/.test(parameter)
}
