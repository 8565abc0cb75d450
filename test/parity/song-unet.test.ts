import { expect, test } from 'vitest'
import { Network, sizeOf } from '../../lib/networks/network.js'
import { type SongUnetOptions, songUnet } from '../../lib/networks/song-unet.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(songUnet, 'song-unet')

const ncsnpp: Partial<SongUnetOptions> = {
  timeEmbedding: 'fourier',
  timeMultiplier: 2,
  encoder: 'residual',
  resampling: 'fir',
}

/** Counted in the public code with the published settings. */
const published: readonly { name: string; size: number; classes?: number; options: Partial<SongUnetOptions> }[] = [
  { name: 'DDPM++ cont. on CIFAR-10', size: 61_804_419, options: {} },
  { name: 'DDPM++ cont. deep on CIFAR-10', size: 106_632_579, options: { blocks: 8 } },
  { name: 'NCSN++ cont. on CIFAR-10', size: 62_758_787, options: ncsnpp },
  { name: 'NCSN++ cont. deep on CIFAR-10', size: 107_586_947, options: { ...ncsnpp, blocks: 8 } },
  {
    name: 'NCSN++ cont. on FFHQ-256',
    size: 65_574_421,
    options: { ...ncsnpp, multipliers: [1, 1, 2, 2, 2, 2, 2], blocks: 2, encoder: 'skip', decoder: 'skip' },
  },
  { name: "EDM's DDPM++ on CIFAR-10", size: 55_733_891, options: { multipliers: [2, 2, 2], augmentLabels: 9 } },
  {
    name: "EDM's NCSN++ on CIFAR-10 with classes",
    size: 56_400_643,
    classes: 10,
    options: { ...ncsnpp, multipliers: [2, 2, 2], augmentLabels: 9 },
  },
]

test.each(published)('$name has $size parameters', async ({ name, size, classes = 0, options }) => {
  const height = name.endsWith('256') ? 256 : 32
  const place = { image: { channels: 3, height, width: height }, classes }
  const settings = { ...options, classConditional: classes > 0 }
  expect(sizeOf(await Network.describe('song-unet', settings, place))).toBe(size)
})
