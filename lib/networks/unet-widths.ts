/** What the U-Nets ask of their channels and of the images: halving, groups of norms, attention heads. */
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError } from '../errors.js'

const refused = (message: string): DpmError => new DpmError('DPM_INVALID_OPTION', message)

/** @throws DpmError DPM_INVALID_OPTION for an image that cannot be halved between so many levels. */
export function requireHalvable({ height, width }: ImageShape, levels: number): void {
  const divisor = 2 ** (levels - 1)
  for (const [name, size] of [
    ['height', height],
    ['width', width],
  ] as const) {
    if (size % divisor === 0) continue
    throw refused(
      `Expected an image ${name} that is a multiple of ${divisor} for \`network.multipliers\` with ${levels} levels but the data has ${size}. Use fewer levels or resize the images.`,
    )
  }
}

/** Channels as a multiple of the base. @throws DpmError DPM_INVALID_OPTION for a part of a channel. */
export function widthOf(channels: number, multiplier: number, option: string): number {
  const width = multiplier * channels
  if (Number.isInteger(width)) return width
  throw refused(
    `Expected \`network.${option}\` that make whole numbers of ${channels} channels but ${multiplier} makes ${width}.`,
  )
}

/** Fewer groups than `most` where a group would have fewer than `least` channels. */
export function groupsOf(width: number, most: number, least: number): number {
  return Math.max(1, Math.min(most, Math.floor(width / least)))
}

/** @throws DpmError DPM_INVALID_OPTION where the groups of a norm do not divide its channels. */
export function requireGroups(widths: readonly number[], most: number, least: number): void {
  for (const width of widths) {
    const groups = groupsOf(width, most, least)
    if (width % groups === 0) continue
    throw refused(
      `Expected \`network.groups\` to divide the channels of every norm but ${groups} groups do not divide ${width}. Use other groups, channels or multipliers.`,
    )
  }
}

/** @throws DpmError DPM_INVALID_OPTION where the heads do not divide the channels of an attention. */
export function requireHeads(widths: readonly number[], heads: number, headChannels: number | null): void {
  for (const width of widths) {
    const count = headChannels === null ? heads : width / headChannels
    if (Number.isInteger(count) && width % count === 0) continue
    const option = headChannels === null ? `heads = ${heads}` : `headChannels = ${headChannels}`
    throw refused(
      `Expected \`network.${option}\` to divide the channels of every level with attention but one has ${width}.`,
    )
  }
}

/** Half of the time embedding are sines, half cosines. @throws DpmError DPM_INVALID_OPTION */
export function requireSinusoids(channels: number, closed: boolean): void {
  if (channels % 2 === 0 && (!closed || channels >= 4)) return
  throw refused(
    `Expected an even number of at least 4 for \`network.channels\` but received ${channels}: the time embedding has half of them as sines, half as cosines.`,
  )
}

export interface Skeleton {
  /** Channels of the first convolution. */
  readonly input: number
  /** Channels of each level, finest first. */
  readonly widths: readonly number[]
  /** Residual blocks per level on the way down. */
  readonly blocks: number
  /** Factor on the channels behind a downsampling that is joined with the image; 1 when absent. */
  readonly joined?: number
}

/** Channels that a GroupNorm sees: of blocks and resamplings, and on the way up those of a level joined with a skip. */
export function normWidths({ input, widths, blocks, joined = 1 }: Skeleton): number[] {
  const skips = [input]
  const seen: number[] = [input]
  widths.forEach((width, level) => {
    for (let block = 0; block < blocks; block++) skips.push(width)
    if (level + 1 < widths.length) skips.push(joined * width)
  })
  seen.push(...widths, ...skips)
  let below = widths.at(-1) ?? input
  for (const width of [...widths].reverse()) {
    for (let block = 0; block <= blocks; block++) {
      seen.push(below + (skips.pop() ?? 0))
      below = width
    }
  }
  return seen
}
