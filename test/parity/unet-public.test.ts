import { expect, test } from 'vitest'
import { Network, sizeOf } from '../../lib/networks/network.js'
import { type UnetOptions, unet } from '../../lib/networks/unet.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(unet, 'unet-public')

const openai: Partial<UnetOptions> = {
  timeEmbedding: 'improved',
  downsamplePadding: 'symmetric',
  scaleShift: true,
  groupEpsilon: 1e-5,
}
const iddpm: Partial<UnetOptions> = {
  ...openai,
  channels: 128,
  blocks: 3,
  attentionResolutions: [16, 8],
  heads: 4,
  headLayout: 'interleaved',
}
const adm: Partial<UnetOptions> = {
  ...openai,
  channels: 256,
  blocks: 2,
  attentionResolutions: [32, 16, 8],
  resampling: 'residual',
  headChannels: 64,
  headLayout: 'interleaved',
}
const upsampler: Partial<UnetOptions> = {
  ...adm,
  channels: 192,
  multipliers: [1, 1, 2, 2, 4, 4],
  conditionChannels: 3,
}

interface Published {
  readonly name: string
  readonly size: number
  readonly height: number
  readonly classes: number
  readonly outputs: 1 | 2
  readonly options: Partial<UnetOptions>
}

/** Counted in the public code on PyTorch's meta device, with the published flags. */
const published: readonly Published[] = [
  {
    name: 'improved DDPM on CIFAR-10 (their file name says 50M)',
    size: 52_546_438,
    height: 32,
    classes: 0,
    outputs: 2,
    options: { ...iddpm, multipliers: [1, 2, 2, 2] },
  },
  {
    name: 'improved DDPM on ImageNet-64 (100M)',
    size: 121_063_942,
    height: 64,
    classes: 0,
    outputs: 2,
    options: { ...iddpm, multipliers: [1, 2, 3, 4] },
  },
  {
    name: 'improved DDPM on ImageNet-64 with classes (270M)',
    size: 273_049_350,
    height: 64,
    classes: 1000,
    outputs: 2,
    options: { ...iddpm, channels: 192, multipliers: [1, 2, 3, 4] },
  },
  {
    name: 'ADM on ImageNet-64 (296M)',
    size: 295_904_454,
    height: 64,
    classes: 1000,
    outputs: 2,
    options: { ...adm, channels: 192, multipliers: [1, 2, 3, 4], blocks: 3, headLayout: 'split' },
  },
  {
    name: 'ADM on ImageNet-128 (422M)',
    size: 421_529_606,
    height: 128,
    classes: 1000,
    outputs: 2,
    options: { ...adm, multipliers: [1, 1, 2, 3, 4], headChannels: null, heads: 4 },
  },
  {
    name: 'ADM on ImageNet-256 (554M)',
    size: 553_838_086,
    height: 256,
    classes: 1000,
    outputs: 2,
    options: { ...adm, multipliers: [1, 1, 2, 2, 4, 4] },
  },
  {
    name: 'ADM on ImageNet-512 (559M)',
    size: 558_997_638,
    height: 512,
    classes: 1000,
    outputs: 2,
    options: { ...adm, multipliers: [0.5, 1, 1, 2, 2, 4, 4], inputMultiplier: 0.5 },
  },
  {
    name: "ADM's upsampler from 64 to 256",
    size: 311_795_910,
    height: 256,
    classes: 1000,
    outputs: 2,
    options: { ...upsampler, attentionResolutions: [32, 16, 8], heads: 4, headChannels: null },
  },
  {
    name: "ADM's upsampler from 128 to 512",
    size: 308_835_270,
    height: 512,
    classes: 1000,
    outputs: 2,
    options: { ...upsampler, attentionResolutions: [32, 16] },
  },
  {
    name: "EDM's ADM on ImageNet-64 (296M)",
    size: 295_899_267,
    height: 64,
    classes: 1000,
    outputs: 1,
    options: { ...adm, channels: 192, multipliers: [1, 2, 3, 4], blocks: 3, minimumGroupChannels: 4 },
  },
]

test.each(published)('$name has $size parameters', async ({ size, height, classes, outputs, options }) => {
  const place = { image: { channels: 3, height, width: height }, classes, outputs }
  const settings = { ...options, classConditional: classes > 0, nullClass: false }
  expect(sizeOf(await Network.describe('unet', settings, place))).toBe(size)
})
