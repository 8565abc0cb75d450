/**
 * Weights of NVlabs/edm (Karras et al. 2022, arXiv 2206.00364): the state dict of its SongUNet (DDPM++, NCSN++) or DhariwalUNet (ADM)
 * under EDM's preconditioning, `model.` before its names where it was kept. Its own .pkl files hold a program, which is not run: they
 * are made a state dict in Python first. Modules are named by the size of the image, so that all settings follow from the tensors.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import type { NetworkOptions } from '../../networks/list.js'
import type { Weights } from '../archives/tensor-archive.js'
import { copyOption, findCopies, holdsCopy, type NetworkNames } from './copies.js'
import { classNames, defineImport } from './define-import.js'
import { from, type Piece, pointwise, regrouped, transposed } from './pieces.js'

export const edm = defineImport({
  name: 'edm',
  description:
    'state dicts of NVlabs/edm: SongUNet and DhariwalUNet under EDM preconditioning, saved from its .pkl in Python',
  options: z.strictObject({
    ...copyOption,
    sigmaData: z.number().positive().default(0.5).describe('sigma_data of its preconditioning'),
    dropout: z.number().min(0).lt(1).default(0).describe('--dropout, for training on'),
  }),
  recognises: (source) => holdsCopy(source, edmNames),
  async read(source, { sigmaData, dropout, weights }) {
    const archive = await source.archive()
    const { path } = archive
    const copies = findCopies(archive, edmNames, weights)
    const trained = copies?.trained ?? copies?.averages[0]
    if (!copies || !trained) throw unfit(path, 'it has no map_layer0, map_layer1 and enc.NxN_conv')
    const found = readLayout(trained, path)
    const classes = shapeOf(trained, 'map_label.weight')[1] ?? 0
    return {
      network: { ...(found.isSong ? songNetwork(trained, found) : dhariwalNetwork(trained, found)), dropout },
      diffusion: {
        schedule: { kind: 'edm', sigmaMin: 0.002, sigmaMax: 80 },
        prediction: { kind: 'edm', sigmaData },
        variance: 'fixed-small',
        timeLabel: 'quarter-log-ratio',
        clip: 'none',
      },
      image: {
        channels: shapeOf(trained, `${found.place(0)}_conv.weight`)[1] ?? 0,
        height: found.size,
        width: found.size,
      },
      classes: classNames(classes, path),
      ...(copies.trained ? { trained } : {}),
      averages: copies.averages,
      step: copies.step ?? 0,
      notes: copies.notes,
      piece: ({ name }) => pieceOf(name, found, trained),
      // The filter of a resampling, which follows from the settings.
      isUnused: (name) => name.endsWith('.resample_filter'),
    }
  },
})

const edmNames: NetworkNames = {
  anchor: /(?:^|\.)enc\.(\d{1,5})x\1_conv\.weight$/,
  isNetwork: (weights) => ['map_layer0', 'map_layer1'].every((name) => weights.has(`${name}.weight`)),
}

interface Layout {
  /** Height and width of the images. */
  readonly size: number
  readonly levels: number
  readonly blocks: number
  /** Whether it is a SongUNet. */
  readonly isSong: boolean
  /** `enc.NxN` of a level. */
  place(level: number, side?: 'enc' | 'dec'): string
}

function readLayout(weights: Weights, path: string): Layout {
  const names = [...weights.keys()]
  const size = Number(names.map((name) => /^enc\.(\d{1,5})x\1_conv\.weight$/.exec(name)?.[1]).find(Boolean))
  const blocksAt = (resolution: number): number =>
    names.filter((name) => new RegExp(`^enc\\.${resolution}x${resolution}_block\\d{1,3}\\.conv0\\.weight$`).test(name))
      .length
  const blocks = blocksAt(size)
  let levels = 0
  // Halves of a pixel are no level.
  while (Number.isInteger(size / 2 ** levels) && blocksAt(size / 2 ** levels) > 0) levels++
  const place = (level: number, side = 'enc'): string => `${side}.${size / 2 ** level}x${size / 2 ** level}`
  const isSong = !weights.has('out_conv.weight')
  if (blocks === 0 || !weights.has(isSong ? `${place(0, 'dec')}_aux_conv.weight` : 'out_conv.weight')) {
    throw unfit(path, 'its blocks or its last layers have other names')
  }
  return { size, levels, blocks, isSong, place }
}

function shapeOf(weights: Weights, name: string): readonly number[] {
  return weights.get(name)?.shape ?? []
}

/** What both networks say in the same way. */
function skeleton(weights: Weights, { size, levels, blocks, place }: Layout, channels: number) {
  const widths = Array.from(
    { length: levels },
    (_, level) => shapeOf(weights, `${place(level)}_block0.conv0.weight`)[0] ?? 0,
  )
  return {
    channels,
    multipliers: widths.map((width) => width / channels),
    blocks,
    attentionResolutions: widths.flatMap((_, level) =>
      weights.has(`${place(level)}_block0.qkv.weight`) ? [size / 2 ** level] : [],
    ),
    augmentLabels: shapeOf(weights, 'map_augment.weight')[1] ?? 0,
    classConditional: weights.has('map_label.weight'),
    // A label of zeros is no class.
    nullClass: true,
    scaleShift: shapeOf(weights, `${place(0)}_block0.affine.weight`)[0] === 2 * (widths[0] ?? 0),
  }
}

function songNetwork(weights: Weights, layout: Layout): NetworkOptions {
  const { place, levels } = layout
  const channels = shapeOf(weights, `${place(0)}_conv.weight`)[0] ?? 0
  const filter = [...weights].find(([name]) => name.endsWith('.resample_filter'))?.[1].shape
  const hasPyramid = (kind: string): boolean => weights.has(`${place(1)}_aux_${kind}.weight`)
  return {
    kind: 'song-unet',
    ...skeleton(weights, layout, channels),
    timeEmbedding: weights.has('map_noise.freqs') ? 'fourier' : 'positional',
    timeMultiplier: (shapeOf(weights, 'map_layer0.weight')[1] ?? 0) / channels,
    encoder: hasPyramid('skip') ? 'skip' : hasPyramid('residual') ? 'residual' : 'standard',
    decoder: levels > 1 && weights.has(`${place(levels - 1, 'dec')}_aux_norm.weight`) ? 'skip' : 'standard',
    resampling: filter?.at(-1) === 4 ? 'fir' : 'box',
  }
}

function dhariwalNetwork(weights: Weights, layout: Layout): NetworkOptions {
  const channels = shapeOf(weights, 'map_layer0.weight')[1] ?? 0
  return {
    kind: 'unet',
    ...skeleton(weights, layout, channels),
    inputMultiplier: (shapeOf(weights, `${layout.place(0)}_conv.weight`)[0] ?? 0) / channels,
    headChannels: 64,
    timeEmbedding: 'improved',
    downsamplePadding: 'symmetric',
    resampling: 'residual',
    minimumGroupChannels: 4,
    groupEpsilon: 1e-5,
    nullClassEmbedding: 'zero',
  }
}

const parts: Readonly<Record<string, string>> = {
  norm1: 'norm0',
  conv1: 'conv0',
  time: 'affine',
  norm2: 'norm1',
  conv2: 'conv1',
  shortcut: 'skip',
  norm: 'norm2',
  qkv: 'qkv',
  out: 'proj',
}

function pieceOf(parameter: string, layout: Layout, weights: Weights): Piece {
  if (parameter === 'time.frequencies') return from('map_noise.freqs')
  const [, owner = '', kind = ''] = /^(.*)\.(\w+)$/.exec(parameter) ?? []
  // Theirs is a linear layer; `unet` has a row for each class.
  if (owner === 'classes') {
    return layout.isSong ? from(`map_label.${kind}`) : transposed(from('map_label.weight'))
  }
  const layer = layerOf(owner, layout, weights)
  if (layer !== undefined) return from(`${layer}.${kind}`)
  const [, place = '', part = ''] = /^(.*)\.(\w+)$/.exec(owner) ?? []
  const block = blockOf(place, layout)
  if (block === undefined) throw new DpmError('DPM_INTERNAL', `No name of EDM's is known for ${parameter}.`)
  const piece = from(`${block}.${parts[part] ?? part}.${kind}`)
  const isMap = kind === 'weight' && (part === 'qkv' || part === 'out')
  const map = isMap ? pointwise(piece) : piece
  // Channel by channel q, k and v.
  return part === 'qkv' ? regrouped(map, (shapeOf(weights, piece.names[0] ?? '')[0] ?? 0) / 3, 3) : map
}

/** The module of a single layer. */
function layerOf(owner: string, { place, isSong }: Layout, weights: Weights): string | undefined {
  const single: Readonly<Record<string, string>> = {
    'time.in': 'map_layer0',
    'time.out': 'map_layer1',
    augment: 'map_augment',
    input: `${place(0)}_conv`,
    'output.norm': isSong ? `${place(0, 'dec')}_aux_norm` : 'out_norm',
    'output.conv': isSong ? `${place(0, 'dec')}_aux_conv` : 'out_conv',
  }
  if (owner in single) return single[owner]
  const [, gathered, part] = /^up\.(\d+)\.output\.(\w+)$/.exec(owner) ?? []
  if (gathered !== undefined) return `${place(Number(gathered), 'dec')}_aux_${part}`
  const [, level] = /^down\.(\d+)\.pyramid$/.exec(owner) ?? []
  if (level === undefined) return undefined
  const pyramid = `${place(Number(level) + 1)}_aux`
  return weights.has(`${pyramid}_skip.weight`) ? `${pyramid}_skip` : `${pyramid}_residual`
}

/** The module of a block, of the attention that theirs has inside it, or of a resampling. */
function blockOf(place: string, { place: placeOf, levels }: Layout): string | undefined {
  const middle = { 'middle.block1': 'in0', 'middle.attention': 'in0', 'middle.block2': 'in1' }[place]
  if (middle !== undefined) return `${placeOf(levels - 1, 'dec')}_${middle}`
  const [, side, level, kind, index] = /^(down|up)\.(\d+)\.(?:(blocks|attentions)\.(\d+)|resample)$/.exec(place) ?? []
  if (side === undefined) return undefined
  if (kind !== undefined) return `${placeOf(Number(level), side === 'down' ? 'enc' : 'dec')}_block${index}`
  // Ours belongs to the level that it comes from.
  return side === 'down' ? `${placeOf(Number(level) + 1)}_down` : `${placeOf(Number(level) - 1, 'dec')}_up`
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError('DPM_FILE_INVALID', `${JSON.stringify(path)} does not hold a network of EDM's: ${reason}.`, {
    details: { path },
  })
}
