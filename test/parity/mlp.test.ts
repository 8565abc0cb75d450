import { expect, test } from 'vitest'
import { mlp } from '../../lib/networks/mlp.js'
import { Network } from '../../lib/networks/network.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(mlp, 'mlp')

// time 64·32 + 32 and 32² + 32; input and output 2·32 + 32 and 32·2 + 2; a residual block three layers of 32² + 32.
test.each([
  [true, 2080 + 1056 + 96 + 66 + 3 * 3 * 1056],
  [false, 2080 + 1056 + 96 + 66 + 3 * 2 * 1056],
])('with residual %j the points of a plane are learned by %i numbers', async (residual, count) => {
  const place = { image: { channels: 2, height: 1, width: 1 }, device: 'cpu' }
  using network = await Network.create('mlp', { width: 32, depth: 3, timeChannels: 64, residual }, place)
  expect(network.size).toBe(count)
})
