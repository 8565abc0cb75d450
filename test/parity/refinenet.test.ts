import { expect, test } from 'vitest'
import { Network } from '../../lib/networks/network.js'
import { type RefinenetOptions, refinenet } from '../../lib/networks/refinenet.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(refinenet, 'refinenet')

test.each<[string, number, Omit<RefinenetOptions, 'kind'>]>([
  ['NCSN', 30_117_635, { levels: 10, pooling: 'mean' }],
  ['NCSNv2', 29_694_083, {}],
  ['NCSNv2Deeper', 83_445_379, { multipliers: [1, 2, 2, 4, 4], dilations: [1, 1, 1, 2, 4] }],
  ['NCSNv2Deepest', 94_132_611, { multipliers: [1, 2, 2, 2, 4, 4], dilations: [1, 1, 1, 1, 2, 4] }],
])('%s has %i parameters, as its code has', async (_, count, options) => {
  using network = await Network.create('refinenet', options, { device: 'cpu' })
  expect(network.size).toBe(count)
})
