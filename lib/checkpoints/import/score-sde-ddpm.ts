/**
 * score-SDE's model `ddpm`: `all_modules` in the order in which they run, so that what each is follows from its tensors, and
 * where it stands from the count of them.
 *
 * With L levels of B blocks: two linear layers, a convolution; on the way down B blocks per level, each followed by attention
 * where the level has it, and a convolution that halves the image; block, attention, block; on the way up B + 1 blocks per
 * level, attention after the last, a convolution that doubles the image; a norm and a convolution.
 */
import { DpmError } from '../../errors.js'
import type { UnetOptions } from '../../networks/unet.js'
import type { Weights } from '../archives/tensor-archive.js'
import type { Piece } from './pieces.js'
import { type ModuleKind, ModuleWalk, moduleKinds, modulePiece } from './score-sde-modules.js'

export interface ScoreSdeDdpm {
  readonly imageChannels: number
  network(imageHeight: number): UnetOptions
  /** How a parameter of ours is made of theirs. */
  piece(parameter: string): Piece
}

/** @throws DpmError DPM_FILE_INVALID naming the first module that is not that of a `ddpm`. */
export function readScoreSdeDdpm(weights: Weights, path: string): ScoreSdeDdpm {
  const kinds = moduleKinds(weights)
  const count = (kind: ModuleKind): number => kinds.filter((one) => one === kind).length
  const levels = count('resample') / 2 + 1
  const blocks = (count('block') - 2 - levels) / (2 * levels)
  const walk = new ModuleWalk(kinds, (reason) => unfit(path, reason))
  walk.take('linear', 'time.in')
  walk.take('linear', 'time.out')
  walk.take('convolution', 'input')
  if (!Number.isInteger(blocks) || blocks < 1 || !Number.isInteger(levels)) {
    throw unfit(path, `its ${count('block')} blocks and ${count('resample')} changes of size make no levels`)
  }
  const attending = Array.from({ length: levels }, (_, level) => {
    let attends = false
    for (let block = 0; block < blocks; block++) {
      walk.take('block', `down.${level}.blocks.${block}`)
      attends = walk.takeIf('attention', `down.${level}.attentions.${block}`)
    }
    if (level + 1 < levels) walk.take('resample', `down.${level}.resample`)
    return attends
  })
  walk.take('block', 'middle.block1')
  walk.take('attention', 'middle.attention')
  walk.take('block', 'middle.block2')
  for (let level = levels - 1; level >= 0; level--) {
    for (let block = 0; block <= blocks; block++) walk.take('block', `up.${level}.blocks.${block}`)
    if (attending[level]) walk.take('attention', `up.${level}.attentions.${blocks}`)
    if (level > 0) walk.take('resample', `up.${level}.resample`)
  }
  walk.take('norm', 'output.norm')
  walk.take('convolution', 'output.conv')
  walk.end()
  const shape = (ours: string, name: string): readonly number[] =>
    weights.get(`${walk.placeOf(ours)}.${name}`)?.shape ?? []
  const channels = shape('time.in', 'weight')[1] ?? 0
  const widths = attending.map((_, level) => shape(`down.${level}.blocks.0`, 'Conv_0.weight')[0] ?? 0)
  return {
    imageChannels: shape('input', 'weight')[1] ?? 0,
    network: (imageHeight) => ({
      kind: 'unet',
      channels,
      multipliers: widths.map((width) => width / channels),
      blocks,
      attentionResolutions: attending.flatMap((attends, level) => (attends ? [imageHeight / 2 ** level] : [])),
      decoderAttention: 'last',
      timeEmbedding: 'ddpm',
      downsamplePadding: 'asymmetric',
      resampling: 'convolution',
      groups: 32,
      groupEpsilon: 1e-6,
      zeroLayers: 'tiny',
      nullClass: false,
    }),
    piece: (parameter) => modulePiece(parameter, walk, weights),
  }
}

function unfit(path: string, reason: string): DpmError {
  return new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} does not hold score-SDE's model \`ddpm\`: ${reason}.`,
    { details: { path } },
  )
}
