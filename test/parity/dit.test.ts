import { expect, test } from 'vitest'
import { dit } from '../../lib/networks/dit.js'
import { Network } from '../../lib/networks/network.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(dit, 'dit')

test('DiT-S/2 on latents of ImageNet-256 has the 32,865,056 parameters of the public code', async () => {
  const image = { channels: 4, height: 32, width: 32 }
  const place = { image, classes: 1000, outputs: 2, device: 'cpu' } as const
  using network = await Network.create('dit', { classConditional: true }, place)
  expect(network.size).toBe(32_865_056)
})
