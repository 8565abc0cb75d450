/**
 * The layers of diffusers' `UNet2DModel` in the order in which they run, as native code is given them
 * (native/engine/networks/unet_2d_layers.h): every channel, group and size is worked out here, and what does not fit
 * together is refused here.
 */
import { DpmError } from '../errors.js'
import type { NativeSettings } from '../native/binding.js'
import type { Unet2dSettings } from './unet-2d.js'

interface Size {
  readonly height: number
  readonly width: number
}

/** What a block hands to the way up. Null: a place that is counted but holds nothing. */
type Skip = (Size & { readonly channels: number }) | null

export interface ResidualOptions {
  readonly in: number
  /** Of the first convolution; `out` when absent. */
  readonly inner?: number
  readonly out: number
  readonly groups: number
  readonly innerGroups: number
  readonly modulation: 'none' | 'shift' | 'scale-shift' | 'adaptive'
  readonly shortcut?: 'biased' | 'bare' | 'always'
  readonly resize?: 'halve' | 'twice' | 'smooth-halve' | 'smooth-twice'
  /** Factor on the sum; 1 when absent. */
  readonly scale?: number
}

const halved = (extent: number): number => Math.floor(extent / 2)

/** A walk through the network that remembers what flows where. */
export class Unet2dLayers {
  readonly layers: NativeSettings[] = []
  readonly settings: Unet2dSettings
  /** Channels of the embedding of time and class. */
  readonly embeddingChannels: number
  channels: number
  size: Size
  /** Where the walk is, for messages: an option and the block's name. */
  place = ''
  /** Size of the image that skip blocks carry down, and of the one that they paint on the way up. */
  #picture: Size
  #painted: Size | undefined
  readonly #skips: Skip[] = []

  constructor(settings: Unet2dSettings, { height, width }: Size, channels: number, embeddingChannels: number) {
    this.settings = settings
    this.size = { height, width }
    this.#picture = this.size
    this.channels = channels
    this.embeddingChannels = embeddingChannels
  }

  residual(name: string, options: ResidualOptions): void {
    const {
      in: input,
      out,
      inner = out,
      groups,
      innerGroups,
      modulation,
      shortcut = 'biased',
      resize = 'none',
    } = options
    this.requireChannels(input)
    this.requireGroups(groups, input)
    this.requireGroups(innerGroups, inner)
    if (resize === 'halve' || resize === 'smooth-halve') this.#resize(halved)
    const kind = shortcut === 'always' ? 'biased' : input === out ? 'none' : shortcut
    const scale = options.scale ?? 1
    this.#add({
      layer: 'residual',
      name,
      in: input,
      inner,
      out,
      groups,
      innerGroups,
      modulation,
      shortcut: kind,
      resize,
      scale,
    })
    this.channels = out
    if (resize === 'twice' || resize === 'smooth-twice') this.#double()
  }

  /** Self-attention with a residual sum. @param groups of its norm; 0 for none */
  attention(name: string, groups: number, scale = 1): void {
    if (groups > 0) this.requireGroups(groups, this.channels)
    const { heads, inner } = this.#heads()
    this.#add({ layer: 'attention', name, channels: this.channels, heads, inner, groups, scale })
  }

  /**
   * Attention behind adaptive norms: of the positions to each other, once or twice, because there is no text to attend to.
   * @param level channels of the level, and so of a head where the settings name none
   */
  adaptiveAttention(name: string, twice: boolean, level: number): void {
    const groups = Math.max(1, Math.floor(this.channels / 32))
    this.requireGroups(groups, this.channels)
    const { heads, inner } = this.#heads(level)
    this.#add({ layer: 'adaptive-attention', name, channels: this.channels, heads, inner, groups, twice })
  }

  /** The convolution of stride 2. Padding 0 pads right and bottom by one instead. */
  halve(name: string): void {
    const padding = this.settings.downsamplePadding
    const around = padding === 0 ? 1 : 2 * padding
    this.#resize((extent) => Math.floor((extent + around) / 2 - 0.5))
    this.#add({ layer: 'halve', name, channels: this.channels, padding })
  }

  /**
   * Nearest neighbour and a convolution: to twice the size, or, where a size was odd on the way down, to what the next
   * skip has, as diffusers' conditional U-Net does. `UNet2DModel` itself cannot run such sizes.
   */
  twice(name: string): void {
    const skip = this.#skips.at(-1)
    const target = (own: number, wanted: number | undefined): number =>
      wanted !== undefined && Math.abs(2 * own - wanted) === 1 ? wanted : 2 * own
    this.size = { height: target(this.size.height, skip?.height), width: target(this.size.width, skip?.width) }
    this.#add({ layer: 'twice', name, channels: this.channels, ...this.size })
  }

  /** Half and twice the size through a filter, mirrored at the border, without weights. */
  smoothHalve(): void {
    if (Math.min(this.size.height, this.size.width) < 2) throw this.#tooSmall()
    this.#resize(halved)
    this.#add({ layer: 'smooth-halve' })
  }

  smoothTwice(): void {
    if (Math.min(this.size.height, this.size.width) < 2) throw this.#tooSmall()
    this.#add({ layer: 'smooth-twice' })
    this.#double()
  }

  /** The image itself, made smaller, joins through a 1×1 convolution. */
  addPicture(name: string): void {
    this.#picture = { height: halved(this.#picture.height), width: halved(this.#picture.width) }
    this.#requireSize(this.#picture, 'the image that it carries along')
    this.#add({ layer: 'add-picture', name, channels: this.channels })
  }

  /** What was painted so far is made larger. */
  doublePainted(): void {
    if (!this.#painted) return
    this.#painted = { height: 2 * this.#painted.height, width: 2 * this.#painted.width }
    this.#add({ layer: 'double-painted' })
  }

  /** Three channels are painted from the features here. */
  paint(name: string, groups: number): void {
    this.requireGroups(groups, this.channels)
    if (this.#painted) this.#requireSize(this.#painted, 'what the blocks before it painted')
    this.#painted = this.size
    this.#add({ layer: 'paint', name, channels: this.channels, groups })
  }

  /** Keeps a skip for the way up. */
  save(): void {
    this.#skips.push({ channels: this.channels, ...this.size })
    this.#add({ layer: 'save' })
  }

  /** A skip that is counted but that nothing reads. */
  saveNothing(): void {
    this.#skips.push(null)
  }

  /** Joins the newest skip. @param required whether the block cannot do without one */
  join(required = true): void {
    const skip = this.#takeSkip()
    if (!skip) {
      if (!required) return
      throw this.#mismatch('reads a skip connection that its counterpart on the way down does not give')
    }
    this.#requireSize(skip, 'the skip connection')
    this.channels += skip.channels
    this.#add({ layer: 'join' })
  }

  /** Takes the newest skip and does not read it. */
  drop(): void {
    if (this.#takeSkip()) this.#add({ layer: 'drop' })
  }

  /** @returns whether an image was painted beside the features. */
  finish(groups: number): boolean {
    this.place = 'the output'
    this.requireGroups(groups, this.channels)
    if (this.#painted) this.#requireSize(this.#painted, 'what the skip blocks painted')
    return this.#painted !== undefined
  }

  /** @throws DpmError DPM_INVALID_OPTION when the groups do not divide the channels of a norm. */
  requireGroups(groups: number, channels: number): void {
    if (groups >= 1 && channels % groups === 0) return
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected groups that divide the channels of every norm but ${groups} groups do not divide ${channels} in ${this.place}. Use other \`network.blockOutChannels\` or \`network.normNumGroups\`.`,
    )
  }

  /** @throws DpmError DPM_INVALID_OPTION when the block is not made for the channels that reach it. */
  requireChannels(wanted: number): void {
    if (this.channels === wanted) return
    throw this.#mismatch(`reads ${wanted} channels where there are ${this.channels}`)
  }

  #add(layer: NativeSettings): void {
    this.layers.push(layer)
  }

  #takeSkip(): Skip {
    const skip = this.#skips.pop()
    if (skip !== undefined) return skip
    throw this.#mismatch('reads more skip connections than the way down gives')
  }

  #resize(change: (extent: number) => number): void {
    this.size = { height: change(this.size.height), width: change(this.size.width) }
    if (Math.min(this.size.height, this.size.width) < 1) throw this.#tooSmall()
  }

  #double(): void {
    this.size = { height: 2 * this.size.height, width: 2 * this.size.width }
  }

  #heads(level = this.channels): { heads: number; inner: number } {
    const width = this.settings.attentionHeadDim ?? level
    const heads = Math.floor(this.channels / width)
    if (heads >= 1) return { heads, inner: heads * width }
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected at most ${this.channels} for \`network.attentionHeadDim\`, the channels of ${this.place}, but received ${width}.`,
    )
  }

  #requireSize({ height, width }: Size, what: string): void {
    if (height === this.size.height && width === this.size.width) return
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The image does not go through ${this.place}: ${what} is ${height}×${width}, but the features are ${this.size.height}×${this.size.width}. Use an image whose height and width can be halved at every level, or blocks of one family on both ways.`,
    )
  }

  #tooSmall(): DpmError {
    return new DpmError(
      'DPM_INVALID_OPTION',
      `The image is too small for \`network.blockOutChannels\` with ${this.settings.blockOutChannels.length} levels: nothing is left of it in ${this.place}. Use fewer levels or larger images.`,
    )
  }

  #mismatch(what: string): DpmError {
    return new DpmError(
      'DPM_INVALID_OPTION',
      `${this.place.charAt(0).toUpperCase()}${this.place.slice(1)} ${what}. Blocks of one family fit each other: the same on the way down and, mirrored, on the way up.`,
    )
  }
}
