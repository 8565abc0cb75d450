/** The configuration of diffusers' `UNet2DModel`, and the settings of `unet-2d`: the same options, in snake case there. */
import * as z from 'zod'
import type { ImageShape } from '../../datasets/data-set.js'
import { type Unet2dSettings, unet2d } from '../../networks/unet-2d.js'

/** Keys of theirs that follow from the data here. */
const dataKeys = {
  sample_size: z
    .union([z.int().min(1), z.tuple([z.int().min(1), z.int().min(1)])], {
      error: 'Expected a size, height and width, or null',
    })
    .nullable()
    .default(null),
  in_channels: z.int().min(1).default(3),
  out_channels: z.int().min(1).default(3),
  num_class_embeds: z.int().min(1).nullable().default(null),
}

/** Settings of ours that theirs has no word for. */
const ownSettings = ['kind', 'initialization', 'zeroLayers', 'classConditional', 'conditionChannels', 'nullClass']

/** Options of both, by their name there. */
export const sharedOptions: ReadonlyMap<string, string> = new Map(
  Object.keys(unet2d.schema.shape)
    .filter((name) => !ownSettings.includes(name))
    .map((name) => [snake(name), name]),
)

export const unetConfigSchema = z.looseObject({
  ...dataKeys,
  class_embed_type: z
    .enum(['timestep', 'identity'])
    .nullable()
    .default(null)
    .refine((type) => type !== 'identity', {
      error:
        'Expected null or timestep (identity is told an embedding instead of a class, which networks here are not)',
    }),
})
export type UnetConfig = z.output<typeof unetConfigSchema>

/** Keys that `UNet2DModel` does not read: left alone there, too. */
export function unknownUnetKeys(config: UnetConfig): string[] {
  return Object.keys(config).filter(
    (key) => !key.startsWith('_') && !Object.hasOwn(dataKeys, key) && !sharedOptions.has(key),
  )
}

/** Options of `unet-2d`, not yet held to its schema. */
export function optionsOfConfig(config: UnetConfig): Readonly<Record<string, unknown>> {
  const given = [...sharedOptions].filter(([key]) => config[key] !== undefined)
  return {
    kind: 'unet-2d',
    ...Object.fromEntries(given.map(([key, name]) => [name, config[key]])),
    classConditional: config.num_class_embeds !== null || config.class_embed_type !== null,
    nullClass: false,
  }
}

/** The configuration of such a network for such data. @param outputs channels of the output per channel of the image */
export function configOfSettings(
  settings: Unet2dSettings,
  { channels, height, width }: ImageShape,
  classes: number,
  outputs: 1 | 2,
): Readonly<Record<string, unknown>> {
  const shared = [...sharedOptions].map(([key, name]) => [key, settings[name as keyof Unet2dSettings]])
  const hasTable = settings.classConditional && settings.classEmbedType === null
  return {
    sample_size: height === width ? height : [height, width],
    in_channels: channels,
    out_channels: outputs * channels,
    ...Object.fromEntries(shared),
    // "No class" is one more there.
    num_class_embeds: hasTable ? classes + (settings.nullClass ? 1 : 0) : null,
  }
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
