/**
 * score-SDE's model `ncsnpp`, which is NCSN++ and DDPM++: `all_modules` in the order in which they run.
 *
 * With L levels of B blocks: random frequencies (NCSN++), two linear layers, a convolution; on the way down B blocks per level, each
 * followed by attention where the level has it, a block that halves the image, and where the way down sees the smaller image a
 * convolution of it; block, attention, block; on the way up B + 1 blocks per level, attention after the last, where the output is
 * gathered from all levels a norm and a convolution, and a block that doubles the image; else at the end a norm and a convolution.
 */
import { DpmError } from '../../errors.js'
import type { SongUnetOptions } from '../../networks/song-unet.js'
import type { Weights } from '../archives/tensor-archive.js'
import { type Piece, scaled } from './pieces.js'
import { type ModuleKind, ModuleWalk, moduleKinds, modulePiece } from './score-sde-modules.js'

export interface ScoreSdeNcsnpp {
  readonly imageChannels: number
  readonly isFourier: boolean
  /** Tensors that training does not change, so that no average of them is kept. */
  readonly constant: readonly string[]
  network(imageHeight: number): SongUnetOptions
  /** How a parameter of ours is made of theirs, where the output is to be multiplied by a number. */
  piece(parameter: string, outputScale: number): Piece
}

/** Whether it is no `ddpm`, whose images are made smaller by convolutions alone. */
export function isScoreSdeNcsnpp(weights: Weights): boolean {
  const kinds = moduleKinds(weights)
  return kinds.includes('resizing') || kinds[0] === 'frequencies'
}

/** @throws DpmError DPM_FILE_INVALID naming the first module that ours cannot have. */
export function readScoreSdeNcsnpp(weights: Weights, path: string): ScoreSdeNcsnpp {
  const kinds = moduleKinds(weights)
  const count = (kind: ModuleKind): number => kinds.filter((one) => one === kind).length
  const levels = count('resizing') / 2 + 1
  const blocks = (count('block') - 2 - levels) / (2 * levels)
  const walk = new ModuleWalk(kinds, (reason) => unfit(path, reason))
  const isFourier = walk.takeIf('frequencies', 'time.frequencies')
  walk.take('linear', 'time.in')
  walk.take('linear', 'time.out')
  walk.take('convolution', 'input')
  if (!Number.isInteger(blocks) || blocks < 1 || !Number.isInteger(levels)) {
    throw unfit(path, `its ${count('block')} blocks and ${count('resizing')} changes of size make no levels`)
  }
  const encoder = kinds.includes('combiner') ? 'skip' : kinds.includes('pyramid') ? 'residual' : 'standard'
  const attending = Array.from({ length: levels }, (_, level) => {
    let attends = false
    for (let block = 0; block < blocks; block++) {
      walk.take('block', `down.${level}.blocks.${block}`)
      attends = walk.takeIf('attention', `down.${level}.attentions.${block}`)
    }
    if (level + 1 === levels) return attends
    walk.take('resizing', `down.${level}.resample`)
    if (encoder === 'skip') walk.take('combiner', `down.${level}.pyramid`)
    if (encoder === 'residual') walk.take('pyramid', `down.${level}.pyramid`)
    return attends
  })
  walk.take('block', 'middle.block1')
  walk.take('attention', 'middle.attention')
  walk.take('block', 'middle.block2')
  let gathers = false
  for (let level = levels - 1; level >= 0; level--) {
    for (let block = 0; block <= blocks; block++) walk.take('block', `up.${level}.blocks.${block}`)
    if (attending[level]) walk.take('attention', `up.${level}.attentions.${blocks}`)
    // At the last level a norm means it either way; with one level alone the two are the same network.
    if (level === levels - 1 && level > 0) gathers = walk.next() === 'norm'
    if (gathers || level === 0) {
      const place = gathers ? `up.${level}.output` : 'output'
      walk.take('norm', `${place}.norm`)
      walk.take('convolution', `${place}.conv`)
    }
    if (level > 0) walk.take('resizing', `up.${level}.resample`)
  }
  walk.end()
  const shape = (ours: string, name: string): readonly number[] =>
    weights.get(`${walk.placeOf(ours)}.${name}`)?.shape ?? []
  const [channels = 0, imageChannels = 0] = shape('input', 'weight')
  const widths = attending.map((_, level) => shape(`down.${level}.blocks.0`, 'Conv_0.weight')[0] ?? 0)
  const isJoined = encoder === 'skip' && shape('down.1.blocks.0', 'Conv_0.weight')[1] === 2 * (widths[0] ?? 0)
  return {
    imageChannels,
    isFourier,
    constant: isFourier ? [`${walk.placeOf('time.frequencies')}.W`] : [],
    network: (imageHeight) => ({
      kind: 'song-unet',
      channels,
      multipliers: widths.map((width) => width / channels),
      blocks,
      attentionResolutions: attending.flatMap((attends, level) => (attends ? [imageHeight / 2 ** level] : [])),
      timeEmbedding: isFourier ? 'fourier' : 'positional',
      timeMultiplier: (shape('time.in', 'weight')[1] ?? 0) / channels,
      encoder,
      encoderJoin: isJoined ? 'concatenation' : 'sum',
      decoder: gathers ? 'skip' : 'standard',
      nullClass: false,
    }),
    piece(parameter, outputScale) {
      const piece = modulePiece(parameter, walk, weights)
      return outputScale !== 1 && /(^|\.)output\.conv\./.test(parameter) ? scaled(piece, outputScale) : piece
    },
  }
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} does not hold score-SDE's model \`ncsnpp\` with blocks of BigGAN: ${reason}.`,
    { details: { path } },
  )
}
