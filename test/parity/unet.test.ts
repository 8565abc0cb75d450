import { expect, test } from 'vitest'
import { Network } from '../../lib/networks/network.js'
import { unet } from '../../lib/networks/unet.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(unet, 'unet')

test('the CIFAR-10 network of Ho et al. 2020 has 35,746,307 parameters', async () => {
  using network = await Network.create(
    'unet',
    { channels: 128, multipliers: [1, 2, 2, 2], blocks: 2, attentionResolutions: [16], dropout: 0.1 },
    { device: 'cpu' },
  )
  expect(network.size).toBe(35_746_307)
})
