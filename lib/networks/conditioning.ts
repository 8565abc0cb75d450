/** What every network can be told beside x and time, and how native code hears of the data. */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError } from '../errors.js'

/** Options of a network that can be told a class, and can see an image beside x. */
export const conditioningOptions = {
  classConditional: z.boolean().default(false).describe('a learned embedding per class is added to the time embedding'),
  conditionChannels: z
    .int()
    .min(0)
    .max(64)
    .default(0)
    .describe('channels of an image that the network sees beside x, as super-resolution does; 0 for none'),
  nullClass: z.boolean().default(true).describe('one more class that means "no class", for classifier-free guidance'),
} as const

/** Options of a network that cannot be told a class. */
export const unconditionalOptions = {
  ...conditioningOptions,
  classConditional: z.literal(false).default(false).describe('this network is not told a class'),
} as const

export interface ConditioningSettings {
  readonly classConditional: boolean
  readonly conditionChannels: number
  readonly nullClass: boolean
}

/** `DataShape` of native/engine/networks/network.h. */
export interface DataShapeSettings {
  readonly inputChannels: number
  readonly conditionChannels: number
  readonly outputChannels: number
  readonly height: number
  readonly width: number
  /** 0 where the network knows of none. */
  readonly classes: number
  readonly nullClass: boolean
}

/**
 * @param outputs output channels per image channel: 2 with a learned variance.
 * @throws DpmError DPM_INVALID_OPTION for a class-conditional network on data without classes.
 */
export function dataShape(
  { classConditional, conditionChannels, nullClass }: ConditioningSettings,
  image: ImageShape,
  classes: number,
  outputs: 1 | 2 = 1,
): DataShapeSettings {
  if (classConditional && classes === 0) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      '`network.classConditional` is true but the data has no classes. Set it to false or choose data with classes.',
    )
  }
  return {
    inputChannels: image.channels,
    conditionChannels,
    outputChannels: outputs * image.channels,
    height: image.height,
    width: image.width,
    classes: classConditional ? classes : 0,
    nullClass,
  }
}
