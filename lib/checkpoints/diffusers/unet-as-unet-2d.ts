/** `unet` in the words of `unet-2d`, where both are the same network: then its parameters have the same names, shapes and order of rows. */
import type { ImageShape } from '../../datasets/data-set.js'
import { expected } from '../../errors.js'
import type { UnetSettings } from '../../networks/unet.js'
import type { Unet2dOptions } from '../../networks/unet-2d.js'
import { groupsOf, normWidths } from '../../networks/unet-widths.js'

/**
 * @throws DpmError DPM_INVALID_OPTION naming the first setting that `UNet2DModel` of diffusers has no word for, and the values that
 *   it has one for
 */
export function unetAsUnet2d(settings: UnetSettings, image: ImageShape): Unet2dOptions {
  const { channels, multipliers, blocks, groups, resampling, timeEmbedding } = settings
  const widths = multipliers.map((multiplier) => multiplier * channels)
  const attends = widths.map((_, level) => settings.attentionResolutions.includes(image.height / 2 ** level))
  for (const { name, isSame, wanted } of differences(settings, widths, attends)) {
    if (isSame) continue
    throw expected(
      wanted,
      `network.${name}`,
      settings[name],
      'UNet2DModel of diffusers has no other that is the same.',
      'DPM_INVALID_OPTION',
    )
  }
  const isResidual = resampling === 'residual'
  const down = isResidual ? 'ResnetDownsampleBlock2D' : 'DownBlock2D'
  const up = isResidual ? 'ResnetUpsampleBlock2D' : 'UpBlock2D'
  const type = isResidual ? 'resnet' : 'conv'
  return {
    kind: 'unet-2d',
    timeEmbeddingType: 'positional',
    flipSinToCos: timeEmbedding === 'improved',
    freqShift: timeEmbedding === 'improved' ? 0 : 1,
    downBlockTypes: attends.map((attending) => (attending ? 'AttnDownBlock2D' : down)),
    upBlockTypes: attends.toReversed().map((attending) => (attending ? 'AttnUpBlock2D' : up)),
    blockOutChannels: widths,
    layersPerBlock: blocks,
    downsamplePadding: settings.downsamplePadding === 'asymmetric' ? 0 : 1,
    downsampleType: type,
    upsampleType: type,
    dropout: settings.dropout,
    attentionHeadDim: headChannels(settings, attendingWidths(settings, widths, attends)),
    normNumGroups: groups,
    // Without it there would be no norm where time is scale and shift.
    attnNormNumGroups: groups,
    normEps: settings.groupEpsilon,
    resnetTimeScaleShift: settings.scaleShift ? 'scale_shift' : 'default',
    addAttention: settings.middleAttention,
    classConditional: settings.classConditional,
    nullClass: settings.nullClass,
    conditionChannels: settings.conditionChannels,
  }
}

interface Difference {
  readonly name: keyof UnetSettings
  readonly isSame: boolean
  readonly wanted: string
}

function differences(settings: UnetSettings, widths: readonly number[], attends: readonly boolean[]): Difference[] {
  const { channels, groups, minimumGroupChannels, blocks } = settings
  const norms = normWidths({ input: channels, widths, blocks })
  const attending = attendingWidths(settings, widths, attends)
  return [
    { name: 'inputMultiplier', isSame: settings.inputMultiplier === 1, wanted: '1' },
    { name: 'multipliers', isSame: settings.multipliers[0] === 1, wanted: 'multipliers that begin with 1' },
    {
      name: 'decoderAttention',
      isSame: settings.decoderAttention === 'every' || !attends.includes(true),
      wanted: 'every, or no attention',
    },
    {
      name: 'heads',
      isSame: headChannels(settings, attending) !== undefined,
      wanted: '1, or headChannels, or attention at levels of one width,',
    },
    {
      name: 'headLayout',
      isSame: settings.headLayout === 'split' || attending.every((width) => headsOf(settings, width) === 1),
      wanted: 'split, or one head,',
    },
    { name: 'timeEmbedding', isSame: settings.timeEmbedding !== 'wavegrad', wanted: 'ddpm or improved' },
    { name: 'resampling', isSame: settings.resampling !== 'pool', wanted: 'convolution or residual' },
    { name: 'fourierFeatures', isSame: settings.fourierFeatures.length === 0, wanted: 'none' },
    { name: 'skipScale', isSame: settings.skipScale === 1, wanted: '1' },
    {
      name: 'minimumGroupChannels',
      isSame: norms.every((width) => groupsOf(width, groups, minimumGroupChannels) === groups),
      wanted: `a number that leaves ${groups} groups to every norm`,
    },
    { name: 'augmentLabels', isSame: settings.augmentLabels === 0, wanted: '0' },
    {
      name: 'nullClassEmbedding',
      isSame: settings.nullClassEmbedding === 'learned' || !settings.classConditional || !settings.nullClass,
      wanted: 'learned',
    },
  ]
}

/** Channels wherever there is attention. */
function attendingWidths(
  { middleAttention }: UnetSettings,
  widths: readonly number[],
  attends: readonly boolean[],
): readonly number[] {
  return [...widths.filter((_, level) => attends[level]), ...(middleAttention ? widths.slice(-1) : [])]
}

function headsOf({ heads, headChannels: each }: UnetSettings, width: number): number {
  return each === null ? heads : width / each
}

/** Channels of a head, the same at every level there; null for one head of all, undefined where levels differ. */
function headChannels(settings: UnetSettings, attending: readonly number[]): number | null | undefined {
  if (settings.headChannels !== null || settings.heads === 1) return settings.headChannels
  const [first, ...others] = new Set(attending.map((width) => width / settings.heads))
  return others.length === 0 ? (first ?? null) : undefined
}
