/** What the networks whose image is a row of patches share: their sizes, and what fits together. */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError, expected } from '../errors.js'

export const transformerOptions = {
  patch: z.int().min(1).max(256).default(2).describe('height and width of a patch in pixels; each is one token'),
  channels: z.int().min(4).max(16_384).default(384).describe('channels of a token'),
  depth: z.int().min(1).max(256).default(12).describe('transformer blocks'),
  heads: z.int().min(1).max(1024).default(6).describe('attention heads'),
  feedForwardRatio: z.number().positive().max(64).default(4).describe('hidden channels of a block, per channel'),
} as const

export interface TransformerSettings {
  readonly patch: number
  readonly channels: number
  readonly heads: number
  readonly feedForwardRatio: number
}

/**
 * Hidden channels of a block.
 * @param divisor of the channels: what their position or time embedding asks for.
 * @throws DpmError DPM_INVALID_OPTION when patches do not tile the image, or heads or the divisor do not divide the channels.
 */
export function hiddenChannels(
  { patch, channels, heads, feedForwardRatio }: TransformerSettings,
  image: ImageShape,
  divisor: number,
): number {
  for (const size of ['height', 'width'] as const) {
    if (image[size] % patch === 0) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected an image ${size} that is a multiple of ${patch} for \`network.patch\` but the data has ${image[size]}. Use another patch or resize the images.`,
    )
  }
  for (const [number, why] of [
    [heads, `There are ${heads} heads.`],
    [divisor, 'Sines and cosines share them.'],
  ] as const) {
    if (channels % number === 0) continue
    throw expected(`a multiple of ${number}`, 'network.channels', channels, why, 'DPM_INVALID_OPTION')
  }
  const hidden = Math.floor(channels * feedForwardRatio)
  if (hidden >= 1) return hidden
  throw expected(
    'a ratio that leaves at least one channel',
    'network.feedForwardRatio',
    feedForwardRatio,
    '',
    'DPM_INVALID_OPTION',
  )
}
