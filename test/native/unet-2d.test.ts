import { expect, test } from 'vitest'
import { loadBinding } from '../../lib/native/load.js'
import { Network } from '../../lib/networks/network.js'
import { unet2d } from '../../lib/networks/unet-2d.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { holdHandles } from './handles.js'
import { stepGradient } from './network-gradient.js'
import { tinyImage } from './tiny-unet.js'
import { batchOf, planOf, relativeDistance } from './training-batch.js'

const held = holdHandles()

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

test('layers with adaptive norms, attention among them, run again to the same gradient, bit for bit', async () => {
  const settings = unet2d.options.parse({
    kind: 'unet-2d',
    downBlockTypes: ['KDownBlock2D', 'KCrossAttnDownBlock2D', 'KCrossAttnDownBlock2D'],
    upBlockTypes: ['KCrossAttnUpBlock2D', 'KCrossAttnUpBlock2D', 'KUpBlock2D'],
    timeEmbeddingDim: 64,
    blockOutChannels: [32, 64, 64],
    layersPerBlock: 1,
    attentionHeadDim: 16,
    normNumGroups: 8,
    zeroLayers: 'none',
  })
  const gradients = []
  for (const activationCheckpointing of [false, true]) {
    const native = unet2d.native(settings, tinyImage, 0)
    const network = held(await loadBinding().networkCreate('unet-2d', native, 1, 'cpu'))
    gradients.push(await stepGradient(held, network, batchOf(held, planOf([1, 2])), { activationCheckpointing }))
  }
  const [whole, again] = gradients
  expect(again?.report.loss).toBe(whole?.report.loss)
  expect(relativeDistance(again?.gradient ?? [], whole?.gradient ?? [])).toBe(0)
})
