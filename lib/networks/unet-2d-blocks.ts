/**
 * The blocks of diffusers' `UNet2DModel`, each by its name there as the layers that it is made of.
 *
 * Families: plain ones (DDPM; `Resnet…`: resampling inside residual blocks, ADM), `Skip…` (NCSN++ of Song et al. 2021, arXiv
 * 2011.13456: the image itself, smoothed and halved, joins on the way down; on the way up each level paints a part of the
 * output), `K…` (k-diffusion's: adaptive norms, smooth resampling without weights, one skip a level). The cross-attention of
 * `KCrossAttn…` is self-attention here, as it is in diffusers where no text is given.
 */
import { DpmError } from '../errors.js'
import type { Unet2dLayers } from './unet-2d-layers.js'

/** Where a block stands. */
export interface BlockPlace {
  /** Of its parameters: `down.0`, `up.0`. */
  readonly name: string
  readonly out: number
  /** Channels of the level before (down); of the level above (up). */
  readonly in: number
  /** Up: channels of the level below, from which the block reads. */
  readonly below: number
  /** The last on its way: it does not resample. */
  readonly last: boolean
}

type Block = (layers: Unet2dLayers, place: BlockPlace) => void

/** diffusers divides the sums of its skip blocks by sqrt(2). */
const skipScale = Math.SQRT1_2
const range = (count: number): number[] => [...Array(count).keys()]
const quarterGroups = (channels: number): number => Math.min(Math.floor(channels / 4), 32)
const groupsOf32 = (channels: number): number => Math.floor(channels / 32)

/** Residual blocks whose norms have `normNumGroups` groups. */
function plain(layers: Unet2dLayers, name: string, out: number, resize?: 'halve' | 'twice', scale = 1): void {
  const groups = requireNormGroups(layers)
  const modulation = timeModulation(layers)
  const { channels } = layers
  layers.residual(name, {
    in: channels,
    out,
    groups,
    innerGroups: groups,
    modulation,
    scale,
    ...(resize && { resize }),
  })
}

/** How time enters the blocks that read `resnetTimeScaleShift`. @throws DpmError for a way that they do not know. */
function timeModulation({ settings, place }: Unet2dLayers): 'shift' | 'scale-shift' {
  const way = settings.resnetTimeScaleShift
  if (way === 'default') return 'shift'
  if (way === 'scale_shift') return 'scale-shift'
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Expected default or scale_shift for \`network.resnetTimeScaleShift\`, which ${place} reads, but received "${way}". Only K blocks without a middle block run with it, because they do not read it.`,
  )
}

function requireNormGroups({ settings, place }: Unet2dLayers): number {
  if (settings.normNumGroups !== null) return settings.normNumGroups
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Expected a number for \`network.normNumGroups\`, which ${place} needs, but received null. Only skip blocks and K blocks choose their groups themselves.`,
  )
}

/** @param resample the sampling after the residual blocks, and the attention behind each of them */
function plainDown(resample: 'convolution' | 'residual' | 'downsampleType', attends: boolean): Block {
  return (layers, { name, out, last }) => {
    for (const i of range(layers.settings.layersPerBlock)) {
      plain(layers, `${name}.blocks.${i}`, out)
      if (attends) layers.attention(`${name}.attentions.${i}`, requireNormGroups(layers))
      layers.save()
    }
    if (last) return
    const convolves =
      resample === 'downsampleType' ? layers.settings.downsampleType === 'conv' : resample === 'convolution'
    if (convolves) layers.halve(`${name}.resample`)
    else plain(layers, `${name}.resample`, out, 'halve')
    layers.save()
  }
}

function plainUp(resample: 'convolution' | 'residual' | 'upsampleType', attends: boolean): Block {
  return (layers, place) => {
    const { name, out, last } = place
    for (const i of range(layers.settings.layersPerBlock + 1)) {
      joinSkip(layers, place, i)
      plain(layers, `${name}.blocks.${i}`, out)
      if (attends) layers.attention(`${name}.attentions.${i}`, requireNormGroups(layers))
    }
    if (last) return
    const convolves = resample === 'upsampleType' ? layers.settings.upsampleType === 'conv' : resample === 'convolution'
    if (convolves) layers.twice(`${name}.resample`)
    else plain(layers, `${name}.resample`, out, 'twice')
  }
}

/** Joins the skip of the i-th residual block of a level, and holds the channels to what diffusers builds the block for. */
function joinSkip(layers: Unet2dLayers, { in: above, out, below }: BlockPlace, i: number): number {
  const skip = i === layers.settings.layersPerBlock ? above : out
  const own = i === 0 ? below : out
  layers.join()
  layers.requireChannels(own + skip)
  // The number of groups of AttnSkipUpBlock2D's norms is counted so, a quarter of the skip alone.
  return Math.min(own + Math.floor(skip / 4), 32)
}

function skipResidual(layers: Unet2dLayers, name: string, out: number, groups = quarterGroups(layers.channels)): void {
  const modulation = timeModulation(layers)
  const innerGroups = quarterGroups(out)
  layers.residual(name, { in: layers.channels, out, groups, innerGroups, modulation, scale: skipScale })
}

function skipResample(layers: Unet2dLayers, name: string, resize: 'smooth-halve' | 'smooth-twice'): void {
  const { channels } = layers
  const groups = quarterGroups(channels)
  layers.residual(name, {
    in: channels,
    out: channels,
    groups,
    innerGroups: groups,
    modulation: timeModulation(layers),
    shortcut: 'always',
    resize,
    scale: skipScale,
  })
}

function skipDown(attends: boolean): Block {
  return (layers, { name, out, last }) => {
    for (const i of range(layers.settings.layersPerBlock)) {
      skipResidual(layers, `${name}.blocks.${i}`, out)
      if (attends) layers.attention(`${name}.attentions.${i}`, 32, skipScale)
      layers.save()
    }
    if (last) return
    skipResample(layers, `${name}.halving`, 'smooth-halve')
    layers.addPicture(`${name}.picture`)
    layers.save()
  }
}

function skipUp(attends: boolean): Block {
  return (layers, place) => {
    const { name, out, last } = place
    for (const i of range(layers.settings.layersPerBlock + 1)) {
      const groups = joinSkip(layers, place, i)
      skipResidual(layers, `${name}.blocks.${i}`, out, attends ? groups : undefined)
    }
    if (attends) layers.attention(`${name}.attentions.0`, 32, skipScale)
    layers.doublePainted()
    if (last) return
    layers.paint(`${name}.picture`, quarterGroups(out))
    skipResample(layers, `${name}.doubling`, 'smooth-twice')
  }
}

function adaptiveResidual(layers: Unet2dLayers, name: string, level: number, inner: number, out: number): void {
  const { channels } = layers
  layers.residual(name, {
    in: channels,
    inner,
    out,
    groups: groupsOf32(channels),
    innerGroups: groupsOf32(level),
    modulation: 'adaptive',
    shortcut: 'bare',
  })
}

function kDown(attends: boolean): Block {
  return (layers, { name, out, last }) => {
    for (const i of range(layers.settings.layersPerBlock)) {
      adaptiveResidual(layers, `${name}.blocks.${i}`, out, out, out)
      if (attends) layers.adaptiveAttention(`${name}.attentions.${i}`, last, out)
      if (attends && last) layers.saveNothing()
      else layers.save()
    }
    if (!last) layers.smoothHalve()
  }
}

/** Reads the last of a level's skips, and leaves with the channels of the level above. */
function kUp(attends: boolean): Block {
  return (layers, { name, in: above, out, last }) => {
    const { layersPerBlock } = layers.settings
    const lowest = attends && above === out && out === layers.embeddingChannels
    layers.join(false)
    for (const _ of range(layersPerBlock - 1)) layers.drop()
    layers.requireChannels(lowest ? out : 2 * out)
    for (const i of range(layersPerBlock)) {
      const leaves = i === layersPerBlock - 1
      const next = leaves ? above : out
      adaptiveResidual(layers, `${name}.blocks.${i}`, out, attends ? out : next, next)
      if (attends) layers.adaptiveAttention(`${name}.attentions.${i}`, lowest, out)
    }
    if (!last) layers.smoothTwice()
  }
}

export const downBlocks = {
  DownBlock2D: plainDown('convolution', false),
  ResnetDownsampleBlock2D: plainDown('residual', false),
  AttnDownBlock2D: plainDown('downsampleType', true),
  SkipDownBlock2D: skipDown(false),
  AttnSkipDownBlock2D: skipDown(true),
  KDownBlock2D: kDown(false),
  KCrossAttnDownBlock2D: kDown(true),
} satisfies Record<string, Block>
export type DownBlockType = keyof typeof downBlocks

export const upBlocks = {
  UpBlock2D: plainUp('convolution', false),
  ResnetUpsampleBlock2D: plainUp('residual', false),
  AttnUpBlock2D: plainUp('upsampleType', true),
  SkipUpBlock2D: skipUp(false),
  AttnSkipUpBlock2D: skipUp(true),
  KUpBlock2D: kUp(false),
  KCrossAttnUpBlock2D: kUp(true),
} satisfies Record<string, Block>
export type UpBlockType = keyof typeof upBlocks

const noText = 'it attends to a text, and UNet2DModel gives its blocks none'
const noSkips = 'it hands on no skip connections, which the way up reads'
const noJoin = 'it reads no skip connections, and UNet2DModel hands it some'

/** Blocks that diffusers has, but that its `UNet2DModel` cannot run, and why. */
export const impossibleBlocks: Readonly<Record<string, string>> = {
  CrossAttnDownBlock2D: noText,
  SimpleCrossAttnDownBlock2D: noText,
  CrossAttnUpBlock2D: noText,
  SimpleCrossAttnUpBlock2D: noText,
  DownEncoderBlock2D: noSkips,
  AttnDownEncoderBlock2D: noSkips,
  UpDecoderBlock2D: noJoin,
  AttnUpDecoderBlock2D: noJoin,
}

/** Residual block, attention, residual block. */
export function middleBlock(layers: Unet2dLayers): void {
  const { midBlockScaleFactor, normNumGroups, attnNormNumGroups, resnetTimeScaleShift, addAttention } = layers.settings
  const { channels } = layers
  const groups = normNumGroups ?? quarterGroups(channels)
  const modulation = timeModulation(layers)
  const scale = 1 / midBlockScaleFactor
  const block = { in: channels, out: channels, groups, innerGroups: groups, modulation, scale }
  layers.residual('middle.block1', block)
  // Without groups of its own the attention has a norm only where time is a sum.
  if (addAttention) {
    const own = attnNormNumGroups ?? (resnetTimeScaleShift === 'default' ? groups : 0)
    layers.attention('middle.attention', own, scale)
  }
  layers.residual('middle.block2', block)
}

/** Whether a block carries the image itself along, which must then have three channels. */
export function carriesPicture(type: DownBlockType | UpBlockType): boolean {
  return type.includes('Skip')
}
