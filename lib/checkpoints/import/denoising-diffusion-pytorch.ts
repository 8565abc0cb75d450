/**
 * Milestones of lucidrains/denoising-diffusion-pytorch (`model-NN.pt`: `step`, `model`, `ema`, `version`), the state dict of its
 * `GaussianDiffusion`, or that of its U-Net alone. Its buffers hold the schedule, and the weights of its loss mostly the objective:
 * both are recognised by value, not by name.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { toFloat32 } from '../archives/float-values.js'
import type { Weights } from '../archives/tensor-archive.js'
import { type Copies, copyOption, findCopies, holdsCopy, type NetworkNames } from './copies.js'
import { asked, classNames, defineImport } from './define-import.js'
import { type FoundUnet, isPackageUnet, readPackageUnet } from './denoising-diffusion-pytorch-unet.js'
import type { ImportSource } from './import-source.js'
import {
  discreteSchedule,
  type FoundObjective,
  objectivesOfWeights,
  packageSchedule,
  type ScheduleOptions,
  scheduleOfBetas,
} from './recognised-schedule.js'

const predictions = { pred_noise: 'noise', pred_x0: 'clean', pred_v: 'velocity' } as const

export const denoisingDiffusionPytorch = defineImport({
  name: 'denoising-diffusion-pytorch',
  description: 'milestones (model-*.pt) and state dicts of lucidrains/denoising-diffusion-pytorch, from version 1.8',
  options: z.strictObject({
    ...copyOption,
    imageSize: z.int().min(1).optional().describe('height and width of the images'),
    objective: z
      .enum(['pred_noise', 'pred_x0', 'pred_v'])
      .optional()
      .describe('objective of GaussianDiffusion, where the weights of its loss do not tell'),
    noiseSchedule: z
      .enum(['linear', 'cosine', 'sigmoid', 'betas'])
      .optional()
      .describe('beta_schedule, where the file has no betas; betas: those of the file as they are'),
    diffusionSteps: z.int().min(1).optional().describe('timesteps, where the file has no betas'),
    heads: z.int().min(1).optional().describe('attn_heads, where there is no memory that shows them'),
    groups: z.int().min(1).default(8).describe('resnet_block_groups, before version 2'),
    timeTheta: z.number().gt(1).default(10_000).describe('sinusoidal_pos_emb_theta'),
    dropout: z.number().min(0).lt(1).default(0).describe('dropout, for training on'),
  }),
  recognises: (source) => holdsCopy(source, unetNames),
  async read(source, options) {
    const copies = findCopies(await source.archive(), unetNames, options.weights)
    const unet = copies?.trained ?? copies?.averages[0]
    if (!copies || !unet) throw invalid(source, 'there is no init_conv of its U-Net in it')
    const found = readPackageUnet(unet, source.path)
    const { channels, learned } = channelsOf(found, source)
    const { schedule, objectives } = await processOf(source, diffusionBuffers(copies), options)
    const { imageSize, objective, heads } = asked({
      imageSize: { value: options.imageSize, about: 'height and width of the images' },
      objective: {
        value: options.objective ?? (objectives.length === 1 ? objectives[0]?.objective : undefined),
        about: 'pred_noise, pred_x0 or pred_v, as GaussianDiffusion was told',
      },
      heads: { value: found.showsHeads ? 0 : options.heads, about: 'attention heads (attn_heads), mostly 4' },
    })
    const known = objectives.find((one) => one.objective === objective)
    if (objectives.length > 0 && !known) {
      const wanted = objectives.map((one) => one.objective).join(' or ')
      throw invalid(source, `the weights of its loss are those of ${wanted}, not of ${objective}`)
    }
    return {
      network: {
        ...found.network,
        ...(found.showsHeads ? {} : headsOf(found, heads)),
        groups: options.groups,
        timeTheta: options.timeTheta,
        dropout: options.dropout,
      },
      diffusion: {
        schedule,
        prediction: predictions[objective],
        weighting: known && known.gamma < Number.POSITIVE_INFINITY ? { kind: 'min-snr', gamma: known.gamma } : 'snr',
        ...(learned ? { variance: 'learned-range', bound: 'hybrid' } : { variance: 'fixed-small' }),
        timeLabel: 'step',
      },
      image: { channels, height: imageSize, width: imageSize },
      classes: classNames(found.classes, source.path),
      step: copies.step ?? 0,
      ...(copies.trained ? { trained: copies.trained } : {}),
      averages: copies.averages,
      piece: ({ name }) => found.piece(name),
      notes: copies.notes,
    }
  },
})

const unetNames: NetworkNames = { anchor: /(?:^|\.)init_conv\.weight$/, isNetwork: isPackageUnet }

/** Buffers of the `GaussianDiffusion` around the U-Net, which it keeps as `model`; of the U-Net alone there are none. */
function diffusionBuffers({ tensors, place }: Copies): Weights {
  const around = place.replace(/[^.]+\.$/, '')
  const names = ['betas', 'loss_weight']
  return new Map(
    names.flatMap((name) => {
      const tensor = tensors.get(`${around}${name}`)
      return tensor?.shape.length === 1 ? [[name, tensor] as const] : []
    }),
  )
}

interface Choices {
  readonly noiseSchedule?: 'linear' | 'cosine' | 'sigmoid' | 'betas' | undefined
  readonly diffusionSteps?: number | undefined
}

interface Process {
  readonly schedule: ScheduleOptions
  /** Those that the file's weights of the loss may belong to; none where it has no such weights, or others. */
  readonly objectives: readonly FoundObjective[]
}

async function processOf(source: ImportSource, buffers: Weights, choices: Choices): Promise<Process> {
  const buffer = async (name: string): Promise<Float32Array | undefined> => {
    const tensor = buffers.get(name)
    return tensor && toFloat32(tensor.dtype, await tensor.read())
  }
  const betas = await buffer('betas')
  if (!betas) {
    const { noiseSchedule, diffusionSteps } = asked({
      noiseSchedule: { value: choices.noiseSchedule, about: 'linear, cosine or sigmoid (beta_schedule)' },
      diffusionSteps: { value: choices.diffusionSteps, about: 'times of the noise schedule (timesteps), mostly 1000' },
    })
    if (noiseSchedule === 'betas') throw invalid(source, 'it has no betas to take as they are')
    return { schedule: packageSchedule(noiseSchedule, diffusionSteps), objectives: [] }
  }
  const schedule = storedSchedule(source, betas, choices)
  const weights = await buffer('loss_weight')
  return { schedule, objectives: weights ? objectivesOfWeights(weights, discreteSchedule(schedule)) : [] }
}

function storedSchedule(source: ImportSource, betas: Float32Array, choices: Choices): ScheduleOptions {
  const { noiseSchedule, diffusionSteps = betas.length } = choices
  if (diffusionSteps !== betas.length) throw invalid(source, `it has ${betas.length} betas, not ${diffusionSteps}`)
  if (noiseSchedule === 'betas') return { kind: 'betas', betas: [...betas] }
  const name = scheduleOfBetas(betas)
  if (name !== undefined && (noiseSchedule ?? name) === name) return packageSchedule(name, betas.length)
  const range = `from ${betas[0]?.toPrecision(4)} to ${betas.at(-1)?.toPrecision(4)}`
  throw invalid(
    source,
    name === undefined
      ? `its ${betas.length} betas, ${range}, are none of the schedules linear, cosine and sigmoid as the package makes them without schedule_fn_kwargs. Take them as they are with \`--set noiseSchedule=betas\``
      : `its ${betas.length} betas, ${range}, are those of "${name}", not of "${noiseSchedule}"`,
  )
}

/** Its self-conditioned networks see their last clean image before x; a learned variance is a second half of the output. */
function channelsOf(
  { inputChannels, outputChannels }: FoundUnet,
  source: ImportSource,
): { readonly channels: number; readonly learned: boolean } {
  if (inputChannels === 2 * outputChannels) {
    throw invalid(
      source,
      `its U-Net sees ${inputChannels} channels and gives ${outputChannels}: it is self-conditioned, told the clean image that it predicted the step before, and no network here can be told that`,
    )
  }
  const ratio = outputChannels / inputChannels
  if (ratio === 1 || ratio === 2) return { channels: inputChannels, learned: ratio === 2 }
  throw invalid(source, `its U-Net sees ${inputChannels} channels and gives ${outputChannels}`)
}

function headsOf({ attentionChannels }: FoundUnet, heads: number): { heads: number[]; headChannels: number[] } {
  for (const channels of attentionChannels) {
    if (channels % heads === 0) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected \`heads\` that divide the ${channels} channels of an attention but received ${heads}.`,
    )
  }
  return { heads: [heads], headChannels: attentionChannels.map((channels) => channels / heads) }
}

function invalid({ path }: ImportSource, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} is no model of denoising-diffusion-pytorch that can be imported: ${reason}.`,
    { details: { path } },
  )
}
