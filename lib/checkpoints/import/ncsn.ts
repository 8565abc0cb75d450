/**
 * Checkpoints of ermongroup/ncsn and ncsnv2 (Song and Ermon 2019, arXiv 1907.05600, and 2020, arXiv 2006.09011): a list of the
 * network's state dict, the optimizer's, and in ncsnv2 the epoch, the step and averaged weights by name.
 *
 * Their images are in [0, 1], ours in [-1, 1]: our sigma is twice theirs. NCSNv2 divides its output by sigma, which is the same here
 * and there; the score of NCSN itself is half as large here. NCSN keeps the numbers of all its norms in tables with a row for each
 * level, the most noise first; ours have the least first.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import type { RefinenetOptions } from '../../networks/refinenet.js'
import { toFloat32 } from '../archives/float-values.js'
import type { Weights } from '../archives/tensor-archive.js'
import { copyOption, findCopies, holdsCopy, type NetworkNames, saysAveraged } from './copies.js'
import { asked, defineImport } from './define-import.js'
import { from, type Piece, part, reversed, scaled, transposed } from './pieces.js'

export const ncsn = defineImport({
  name: 'ncsn',
  description: 'checkpoint_*.pth of ermongroup/ncsn and ermongroup/ncsnv2',
  options: z.strictObject({
    ...copyOption,
    imageSize: z.int().min(1).optional().describe('data.image_size'),
    sigmaBegin: z.number().positive().default(1).describe('model.sigma_begin of NCSN; NCSNv2 keeps it in the file'),
    sigmaEnd: z.number().positive().default(0.01).describe('model.sigma_end of NCSN'),
    activation: z
      .enum(['elu', 'relu', 'leaky-relu', 'silu'])
      .default('elu')
      .describe('model.nonlinearity: elu, relu, lrelu or swish'),
  }),
  recognises: (source) => holdsCopy(source, ncsnNames),
  async read(source, { sigmaBegin, sigmaEnd, activation, ...options }) {
    const archive = await source.archive()
    const copies = findCopies(archive, ncsnNames, options.weights)
    const trained = copies?.trained ?? copies?.averages[0]
    if (!copies || !trained) throw unfit(archive.path, 'it has no begin_conv, normalizer and end_conv')
    const layout = layoutOf(trained, archive.path)
    const { imageSize } = asked({
      imageSize: { value: options.imageSize, about: 'height and width of the images (data.image_size)' },
    })
    const isConditional = layout.levels !== null
    const sigmas = isConditional
      ? { steps: layout.levels ?? 0, sigmaMax: 2 * sigmaBegin, sigmaMin: 2 * sigmaEnd }
      : await storedSigmas(trained, archive.path)
    return {
      network: { ...networkOf(trained, layout), activation },
      diffusion: {
        schedule: { kind: 'ncsn', ...sigmas },
        prediction: { kind: 'score', scaled: !isConditional },
        variance: 'fixed-small',
        timeLabel: 'step',
        clip: 'none',
      },
      image: { channels: shapeOf(trained, 'begin_conv.weight')[1] ?? 0, height: imageSize, width: imageSize },
      step: Number(archive.values.get('3') ?? copies.step ?? 0),
      ...(copies.trained ? { trained } : {}),
      averages: copies.averages,
      piece: ({ name }) => pieceOf(name, layout, trained),
      isUnused: (name) => name === 'sigmas',
    }
  },
})

const ncsnNames: NetworkNames = {
  anchor: /(?:^|\.)begin_conv\.weight$/,
  isNetwork: (weights) =>
    ['begin_conv.weight', 'end_conv.weight', 'res1.0.conv1.weight', 'refine1.output_convs.1_1_conv.weight'].every(
      (name) => weights.has(name),
    ),
  // A list: network, optimizer, epoch, step, averages.
  isAveraged: (place) => /^4\./.test(place) || saysAveraged(place),
}

interface Layout {
  /** Their names of the levels, finest first: of the way down, and of the blocks that refine. */
  readonly down: readonly string[]
  readonly refine: readonly string[]
  readonly dilations: number[]
  /** Levels with norms of their own; null for NCSNv2. */
  readonly levels: number | null
}

const layouts: readonly Omit<Layout, 'levels'>[] = [
  {
    down: ['1', '2', '3', '31', '4', '5'],
    refine: ['5', '4', '3', '31', '2', '1'],
    dilations: [1, 1, 1, 1, 2, 4],
  },
  { down: ['1', '2', '3', '4', '5'], refine: ['5', '4', '3', '2', '1'], dilations: [1, 1, 1, 2, 4] },
  { down: ['1', '2', '3', '4'], refine: ['4', '3', '2', '1'], dilations: [1, 1, 2, 4] },
]

function layoutOf(weights: Weights, path: string): Layout {
  const layout = layouts.find(({ down }) => down.every((key) => weights.has(`res${key}.0.conv1.weight`)))
  if (!layout) throw unfit(path, 'its levels are neither four, five nor six')
  return { ...layout, levels: weights.get('normalizer.embed.weight')?.shape[0] ?? null }
}

function networkOf(weights: Weights, { down, dilations, levels }: Layout): RefinenetOptions {
  const channels = shapeOf(weights, 'begin_conv.weight')[0] ?? 0
  const widths = down.map((key) => shapeOf(weights, `${layerName(weights, `res${key}.0.conv2`)}.weight`)[0] ?? 0)
  const blocks = [...weights.keys()].filter((name) => /^res1\.\d{1,3}\.conv1\.weight$/.test(name)).length
  return {
    kind: 'refinenet',
    channels,
    multipliers: widths.map((width) => width / channels),
    dilations,
    blocks,
    levels,
    pooling: levels === null ? 'max' : 'mean',
  }
}

function shapeOf(weights: Weights, name: string): readonly number[] {
  return weights.get(name)?.shape ?? []
}

/** The levels that NCSNv2 keeps as a buffer, the most noise first. */
async function storedSigmas(
  weights: Weights,
  path: string,
): Promise<{ readonly steps: number; readonly sigmaMin: number; readonly sigmaMax: number }> {
  const stored = weights.get('sigmas')
  const values = stored && toFloat32(stored.dtype, await stored.read())
  const [most, least] = [values?.[0] ?? Number.NaN, values?.at(-1) ?? Number.NaN]
  if (!values || values.length < 2 || !(least > 0 && most > least)) {
    throw unfit(path, 'its `sigmas` are no falling list of noise levels')
  }
  const ratio = (least / most) ** (1 / (values.length - 1))
  const isGeometric = values.every((value, index) => Math.abs(value / (most * ratio ** index) - 1) < 1e-4)
  if (!isGeometric) throw unfit(path, 'its `sigmas` are no geometric sequence (model.sigma_dist)')
  // Kept in float32.
  const exact = (value: number): number => Number(value.toPrecision(7))
  return { steps: values.length, sigmaMin: 2 * exact(least), sigmaMax: 2 * exact(most) }
}

/** A convolution, or what makes the image smaller behind one. */
function layerName(weights: Weights, name: string): string {
  return weights.has(`${name}.conv.weight`) ? `${name}.conv` : name
}

const normParts: Readonly<Record<string, { readonly name: string; readonly place: number }>> = {
  weight: { name: 'gamma', place: 0 },
  means: { name: 'alpha', place: 1 },
  bias: { name: 'beta', place: 2 },
}

function pieceOf(parameter: string, layout: Layout, weights: Weights): Piece {
  const [, owner = '', kind = ''] = /^(.*)\.(\w+)$/.exec(parameter) ?? []
  const name = publicName(owner, layout)
  if (/(^|\.)norm\d?$/.test(owner)) {
    const { name: own, place } = normParts[kind] ?? { name: kind, place: 0 }
    if (layout.levels === null) return from(`${name}.${own}`)
    return reversed(transposed(part(transposed(from(`${name}.embed.weight`)), place, 3)))
  }
  const piece = from(`${layerName(weights, name)}.${kind}`)
  return owner === 'output.conv' && layout.levels !== null ? scaled(piece, 1 / 2) : piece
}

function publicName(owner: string, { down, refine }: Layout): string {
  const single = { input: 'begin_conv', 'output.norm': 'normalizer', 'output.conv': 'end_conv' }[owner]
  if (single !== undefined) return single
  const [, level, block, layer] = /^down\.(\d)\.blocks\.(\d+)\.(\w+)$/.exec(owner) ?? []
  if (layer !== undefined) return `res${down[Number(level)]}.${block}.${layer.replace(/^norm/, 'normalize')}`
  const [, place, rest = ''] = /^refine\.(\d)\.(.*)$/.exec(owner) ?? []
  const key = `refine${refine[Number(place)]}`
  const names: readonly (readonly [RegExp, (...found: string[]) => string])[] = [
    [
      /^adapt\.(\d)\.(\d+)\.(\d+)\.(\w+)$/,
      (input, unit, i, what) => `adapt_convs.${input}.${unitName(unit, i)}_${what}`,
    ],
    [/^output\.(\d+)\.(\d+)\.(\w+)$/, (unit, i, what) => `output_convs.${unitName(unit, i)}_${what}`],
    [/^fuse\.(\d)\.(\w+)$/, (input, what) => `msf.${what}s.${input}`],
    [/^pool\.(\d+)\.(\w+)$/, (i, what) => `crp.${what}s.${i}`],
  ]
  for (const [pattern, nameOf] of names) {
    const found = pattern.exec(rest)
    if (found) return `${key}.${nameOf(...found.slice(1))}`
  }
  throw new DpmError('DPM_INTERNAL', `No name of NCSN's is known for ${owner}.`)
}

/** Theirs count from 1. */
function unitName(unit = '', convolution = ''): string {
  return `${Number(unit) + 1}_${Number(convolution) + 1}`
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError('DPM_FILE_INVALID', `${JSON.stringify(path)} holds no network of NCSN or NCSNv2: ${reason}.`, {
    details: { path },
  })
}
