import { expect, test } from 'vitest'
import { contextUnet } from '../../lib/networks/context-unet.js'
import { Network } from '../../lib/networks/network.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(contextUnet, 'context-unet')

// 1,480,771 without the shortcut, as the course's code registers it; the shortcut is 3×64 + 64.
test.each([
  [false, 1_480_771 + 256],
  [true, 1_480_771],
])('with courseCompat %j the course network learns %i numbers', async (courseCompat, count) => {
  using network = await Network.create(
    'context-unet',
    { courseCompat, classConditional: true },
    { image: { channels: 3, height: 16, width: 16 }, classes: 5, device: 'cpu' },
  )
  expect(network.size).toBe(count)
})
