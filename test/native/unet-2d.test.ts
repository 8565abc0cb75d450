import { expect, test } from 'vitest'
import { Network } from '../../lib/networks/network.js'
import { Tensor } from '../../lib/tensor/tensor.js'

const small = {
  blockOutChannels: [8],
  downBlockTypes: ['DownBlock2D' as const],
  upBlockTypes: ['UpBlock2D' as const],
  layersPerBlock: 1,
  normNumGroups: 4,
}
const place = { image: { channels: 1, height: 4, width: 4 }, device: 'cpu' }

test('a table of times knows no others', async () => {
  using network = await Network.create(
    'unet-2d',
    { ...small, timeEmbeddingType: 'learned', numTrainTimesteps: 10 },
    place,
  )
  using x = Tensor.from(new Float32Array(32), [2, 1, 4, 4])
  for (const wrong of [10, -1, 2.5, Number.NaN]) {
    await expect(network.forward(x, [3, wrong])).rejects.toMatchObject({
      code: 'DPM_INVALID_ARGUMENT',
      message: expect.stringMatching(/a whole number from 0 to 9 for `labels\[1\]`/),
    })
  }
  using pass = await network.forward(x, [0, 9], { gradient: false })
  expect(pass.output.shape).toEqual([2, 1, 4, 4])
})
