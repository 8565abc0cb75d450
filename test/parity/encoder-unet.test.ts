import { expect, test } from 'vitest'
import { Network } from '../../lib/index.js'
import { encoderUnet } from '../../lib/networks/encoder-unet.js'
import { sizeOf } from '../../lib/networks/network.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(encoderUnet, 'encoder-unet')

/** script_util.py, `create_classifier`, with the flags of guided-diffusion's README. */
test.each([
  [64, [1, 2, 3, 4], 4, 65_438_568],
  [128, [1, 1, 2, 3, 4], 2, 42_568_040],
  [256, [1, 1, 2, 2, 4, 4], 2, 54_096_360],
  [512, [0.5, 1, 1, 2, 2, 4, 4], 2, 54_448_360],
])('the public classifier of %d² images has as many parameters', async (size, multipliers, blocks, parameters) => {
  const image = { channels: 3, height: size, width: size }
  const options = { multipliers, inputMultiplier: multipliers[0] ?? 1, blocks }
  expect(sizeOf(await Network.describe('encoder-unet', options, { image, classes: 1000 }))).toBe(parameters)
})
