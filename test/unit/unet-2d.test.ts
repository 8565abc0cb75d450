import { describe, expect, test } from 'vitest'
import { DpmError } from '../../lib/errors.js'
import { type Unet2dOptions, unet2d } from '../../lib/networks/unet-2d.js'

const square = { channels: 3, height: 8, width: 8 }
const plain: Unet2dOptions = {
  kind: 'unet-2d',
  blockOutChannels: [8, 16],
  downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D'],
  upBlockTypes: ['AttnUpBlock2D', 'UpBlock2D'],
  layersPerBlock: 1,
  normNumGroups: 4,
}

function refusal(options: Record<string, unknown>, image = square, classes = 0, outputs: 1 | 2 = 1): string {
  try {
    unet2d.native(unet2d.options.parse({ ...plain, ...options }), image, classes, outputs)
  } catch (error) {
    if (error instanceof DpmError && error.code === 'DPM_INVALID_OPTION') return error.message
    throw error
  }
  return 'accepted'
}

test('the defaults are those of UNet2DModel', () => {
  expect(unet2d.options.parse({ kind: 'unet-2d' })).toMatchObject({
    centerInputSample: false,
    timeEmbeddingType: 'positional',
    timeEmbeddingDim: null,
    freqShift: 0,
    flipSinToCos: true,
    downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
    midBlockType: 'UNetMidBlock2D',
    upBlockTypes: ['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
    blockOutChannels: [224, 448, 672, 896],
    layersPerBlock: 2,
    midBlockScaleFactor: 1,
    downsamplePadding: 1,
    downsampleType: 'conv',
    upsampleType: 'conv',
    dropout: 0,
    actFn: 'silu',
    attentionHeadDim: 8,
    normNumGroups: 32,
    attnNormNumGroups: null,
    normEps: 1e-5,
    resnetTimeScaleShift: 'default',
    addAttention: true,
    classEmbedType: null,
    numTrainTimesteps: null,
  })
})

describe('blocks that UNet2DModel cannot run are named with the reason', () => {
  test.each([
    ['CrossAttnDownBlock2D', /attends to a text/],
    ['SimpleCrossAttnDownBlock2D', /attends to a text/],
    ['DownEncoderBlock2D', /hands on no skip connections/],
    ['AttnDownEncoderBlock2D', /hands on no skip connections/],
  ])('%s', (type, why) => {
    const message = refusal({ downBlockTypes: ['DownBlock2D', type] })
    expect(message).toMatch(why)
    expect(message).toContain(`\`downBlockTypes.1\`, received "${type}"`)
  })

  test.each([
    ['CrossAttnUpBlock2D', /attends to a text/],
    ['SimpleCrossAttnUpBlock2D', /attends to a text/],
    ['UpDecoderBlock2D', /reads no skip connections/],
    ['AttnUpDecoderBlock2D', /reads no skip connections/],
  ])('%s', (type, why) => {
    expect(refusal({ upBlockTypes: [type, 'UpBlock2D'] })).toMatch(why)
  })

  test('a misspelt one comes with the nearest', () => {
    expect(refusal({ downBlockTypes: ['DownBlok2D', 'DownBlock2D'] })).toContain('did you mean DownBlock2D?')
  })
})

describe('what does not fit together is said before anything is built', () => {
  const same = (down: string, up: string) => ({ downBlockTypes: [down, down], upBlockTypes: [up, up] })
  const k = { ...same('KDownBlock2D', 'KUpBlock2D'), blockOutChannels: [32, 32] }
  const rows: readonly [string, Record<string, unknown>, RegExp][] = [
    ['another number of blocks', { downBlockTypes: ['DownBlock2D'] }, /Expected 2 blocks.*`network.downBlockTypes`/],
    ['groups that do not divide', { normNumGroups: 3 }, /3 groups do not divide 8 in block `network.downBlockTypes.0`/],
    ['no groups for plain blocks', { normNumGroups: null }, /`network.normNumGroups`.*received null/],
    ['a head wider than the level', { attentionHeadDim: 32 }, /at most 16 for `network.attentionHeadDim`/],
    ['a table of times without rows', { timeEmbeddingType: 'learned' }, /`network.numTrainTimesteps`/],
    ['sinusoids divided by nothing', { freqShift: 4 }, /another `network.freqShift` than 4/],
    ['a class embedded that there is not', { classEmbedType: 'timestep' }, /`network.classConditional` must be true/],
    ['adaptive norms in plain blocks', { resnetTimeScaleShift: 'ada_group' }, /Only K blocks/],
    ['spatial norms in the middle', { ...k, resnetTimeScaleShift: 'spatial' }, /the middle block reads/],
    ['K blocks of few channels', { ...k, blockOutChannels: [16, 16] }, /0 groups do not divide 16/],
    [
      'one skip where several are read',
      { upBlockTypes: ['KUpBlock2D', 'UpBlock2D'], blockOutChannels: [32, 64] },
      /the skip connection is 4×4, but the features are 8×8/,
    ],
    [
      'skips of another size',
      { downBlockTypes: ['KDownBlock2D', 'DownBlock2D'], blockOutChannels: [32, 32] },
      /4×4.*8×8|8×8.*4×4/,
    ],
    [
      'a painted image that nothing enlarges',
      { upBlockTypes: ['SkipUpBlock2D', 'UpBlock2D'] },
      /what the skip blocks painted is 4×4/,
    ],
  ]
  test.each(rows)('%s', (_, options, message) => {
    expect(refusal(options)).toMatch(message)
  })

  test('K blocks alone do not read how time enters', () => {
    for (const resnetTimeScaleShift of ['ada_group', 'spatial']) {
      expect(refusal({ ...k, midBlockType: null, resnetTimeScaleShift })).toBe('accepted')
    }
  })

  test('skip blocks are for three channels', () => {
    const skip = { ...same('SkipDownBlock2D', 'SkipUpBlock2D'), normNumGroups: null }
    expect(refusal({ ...skip, blockOutChannels: [16, 16] })).toBe('accepted')
    expect(refusal(skip, { ...square, channels: 1 })).toMatch(
      /SkipDownBlock2D is made for images of 3 channels.*sees 1/,
    )
    expect(refusal({ upBlockTypes: skip.upBlockTypes }, square, 0, 2)).toMatch(/SkipUpBlock2D.*gives 6/)
  })

  test('odd sizes pass through convolutions alone', () => {
    const odd = { channels: 3, height: 7, width: 10 }
    expect(refusal({}, odd)).toBe('accepted')
    expect(refusal({ upBlockTypes: ['ResnetUpsampleBlock2D', 'UpBlock2D'] }, odd)).toMatch(/7×10.*8×10/)
  })
})
