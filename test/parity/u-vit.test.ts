import { expect, test } from 'vitest'
import { Network } from '../../lib/networks/network.js'
import { uVit } from '../../lib/networks/u-vit.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(uVit, 'u-vit')

test('U-ViT-S/2 for CIFAR-10 has the 44,255,328 parameters of the public code', async () => {
  using network = await Network.create('u-vit', {}, { device: 'cpu' })
  expect(network.size).toBe(44_255_328)
})
