/**
 * Weights of the `ContextUnet` of the course "How diffusion models work" (DeepLearning.AI): the state dict that its notebook saves,
 * and those of the many programs that took the class over. All settings follow from the shapes, but for the noise schedule, which is
 * the notebook's unless said otherwise.
 *
 * Its first block adds a 1×1 convolution of the image that is made anew, at random, at every call, so that no file has it. Here it is
 * drawn once, as PyTorch draws a new layer (uniform within 1 / sqrt(inputs), as every one was that the network was trained with), or
 * left out. Files of programs that mended this have the layer, and it is taken.
 *
 * The notebook's noise: b_t = 1e-4 + (0.02 - 1e-4) t / T, a_t = 1 - b_t, abar_t = a_0 a_1 … a_t for t = 1 … T. Its first time here
 * has both first factors in one beta, so that all abar are its own.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { uniforms } from '../../random/uniforms.js'
import type { Weights } from '../archives/tensor-archive.js'
import { copyOption, findCopies, holdsCopy, type NetworkNames } from './copies.js'
import { classNames, defineImport } from './define-import.js'
import { filled, from, type Piece } from './pieces.js'

export const contextUnet = defineImport({
  name: 'context-unet',
  description:
    'state dicts of the ContextUnet of the course "How diffusion models work" (model_*.pth, context_model_*.pth)',
  options: z.strictObject({
    ...copyOption,
    diffusionSteps: z.int().min(1).max(100_000).default(500).describe('timesteps'),
    betaStart: z.number().positive().lt(1).default(1e-4).describe('beta1'),
    betaEnd: z.number().positive().lt(1).default(0.02).describe('beta2'),
    shortcut: z
      .enum(['drawn', 'zero'])
      .default('drawn')
      .describe("the first block's shortcut, which the course draws anew at every call: drawn once, or left out"),
    shortcutSeed: z.int().min(0).default(0).describe('what it is drawn from'),
  }),
  recognises: (source) => holdsCopy(source, contextNames),
  async read(source, { weights: choice, diffusionSteps, betaStart, betaEnd, shortcut, shortcutSeed }) {
    const archive = await source.archive()
    const copies = findCopies(archive, contextNames, choice)
    const weights = copies?.trained ?? copies?.averages[0]
    if (!copies || !weights) throw unfit(source.path, 'it has no init_conv, down1, up0 and timeembed1')
    const found = readShapes(weights, source.path)
    const hasShortcut = weights.has('init_conv.shortcut.weight')
    const needsShortcut = !hasShortcut && found.imageChannels !== found.channels
    const bound = 1 / Math.sqrt(found.imageChannels)
    const drawn = (size: number, name: string): Float32Array<ArrayBuffer> => {
      const example = name.endsWith('.weight') ? 0 : 1
      return Float32Array.from(uniforms(shortcutSeed, 'weights', 0, example, size), (value) => bound * (2 * value - 1))
    }
    return {
      network: {
        kind: 'context-unet',
        channels: found.channels,
        courseCompat: needsShortcut,
        classConditional: found.classes > 0,
        nullClass: true,
      },
      diffusion: {
        schedule: { kind: 'betas', betas: courseBetas(diffusionSteps, betaStart, betaEnd) },
        prediction: 'noise',
        variance: 'fixed-large',
        timeLabel: 'fraction',
        clip: 'none',
      },
      sampling: { sampler: 'ddpm' },
      image: { channels: found.imageChannels, height: found.height, width: found.width },
      classes: classNames(found.classes, source.path),
      step: copies.step ?? 0,
      ...(copies.trained ? { trained: copies.trained } : {}),
      averages: copies.averages,
      piece({ name, shape }) {
        if (!needsShortcut || !name.startsWith('input.shortcut.')) return from(courseName(name))
        return shortcut === 'zero' ? filled(0, shape) : given(shape, (size) => drawn(size, name))
      },
      notes: [
        ...(needsShortcut
          ? [
              shortcut === 'zero'
                ? 'The first block has no shortcut, which the course draws anew at every call; the network was trained with one.'
                : `The first block's shortcut, which the course draws anew at every call, was drawn once, from seed ${shortcutSeed} (shortcutSeed).`,
            ]
          : []),
        ...copies.notes,
      ],
    }
  },
})

const contextNames: NetworkNames = {
  anchor: /(?:^|\.)init_conv\.conv1\.0\.weight$/,
  isNetwork: (weights) =>
    ['down1.model.0.conv1.0.weight', 'up0.0.weight', 'timeembed1.model.0.weight', 'out.3.weight'].every((name) =>
      weights.has(name),
    ),
}

interface Shapes {
  readonly channels: number
  readonly imageChannels: number
  readonly classes: number
  readonly height: number
  readonly width: number
}

function readShapes(weights: Weights, path: string): Shapes {
  const axis = (name: string, index: number): number => {
    const size = weights.get(name)?.shape[index]
    if (size !== undefined && size > 0) return size
    throw unfit(path, `it has no ${name}, or one of another shape`)
  }
  const [channels, imageChannels] = [axis('init_conv.conv1.0.weight', 0), axis('init_conv.conv1.0.weight', 1)]
  if (axis('down2.model.0.conv1.0.weight', 0) !== 2 * channels)
    throw unfit(path, 'its second level is not twice as wide as the first')
  return {
    channels,
    imageChannels,
    classes: weights.has('contextembed1.model.0.weight') ? axis('contextembed1.model.0.weight', 1) : 0,
    // The mean of a quarter of the image's size is enlarged to that size again.
    height: 4 * axis('up0.0.weight', 2),
    width: 4 * axis('up0.0.weight', 3),
  }
}

/** @returns beta of t = 1 … T. */
export function courseBetas(steps: number, first: number, last: number): number[] {
  const beta = (t: number): number => first + ((last - first) * t) / steps
  return Array.from({ length: steps }, (_, index) => {
    return index === 0 ? 1 - (1 - beta(0)) * (1 - beta(1)) : beta(index + 1)
  })
}

const layers: Readonly<Record<string, string>> = {
  'input.shortcut': 'init_conv.shortcut',
  'up.start.conv': 'up0.0',
  'up.start.norm': 'up0.1',
  'output.conv1': 'out.0',
  'output.norm': 'out.1',
  'output.conv2': 'out.3',
}

/** Our levels count from the size of the image; their ways up and embeddings from the coarsest. */
function courseName(parameter: string): string {
  const [, owner = '', kind = ''] = /^(.*)\.(\w+)$/.exec(parameter) ?? []
  const layer = layers[owner] ?? embeddingName(owner) ?? blockName(owner)
  if (layer === undefined) throw new DpmError('DPM_INTERNAL', `No name of the course's is known for ${parameter}.`)
  return `${layer}.${{ mean: 'running_mean', variance: 'running_var' }[kind] ?? kind}`
}

function embeddingName(owner: string): string | undefined {
  const [, what, level, side] = /^(time|context)\.([01])\.(in|out)$/.exec(owner) ?? []
  if (what === undefined) return undefined
  return `${what}embed${level === '1' ? 1 : 2}.model.${side === 'in' ? 0 : 2}`
}

function blockName(owner: string): string | undefined {
  const [, up] = /^up\.([01])\.enlarge$/.exec(owner) ?? []
  if (up !== undefined) return `up${2 - Number(up)}.model.0`
  const [, place = '', part = '', index = ''] = /^(.*)\.(conv|norm)([12])$/.exec(owner) ?? []
  const block = place === 'input' ? 'init_conv' : levelBlock(place)
  return block === undefined ? undefined : `${block}.conv${index}.${part === 'conv' ? 0 : 1}`
}

function levelBlock(place: string): string | undefined {
  const [, side, level, block] = /^(down|up)\.([01])\.blocks\.([01])$/.exec(place) ?? []
  if (side === undefined) return undefined
  // On the way up a transposed convolution stands before the blocks.
  return side === 'down'
    ? `down${1 + Number(level)}.model.${block}`
    : `up${2 - Number(level)}.model.${1 + Number(block)}`
}

function given(shape: readonly number[], values: (size: number) => Float32Array<ArrayBuffer>): Piece {
  const size = shape.reduce((product, extent) => product * extent, 1)
  return { names: [], shapeOf: () => shape, valuesOf: async () => ({ shape, data: values(size) }) }
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} does not hold the course's ContextUnet: ${reason}.`,
    {
      details: { path },
    },
  )
}
