/** Every network, by kind. A new one is an options file beside this one, a native file, and a line in each list. */
import * as z from 'zod'
import type { ImageShape } from '../datasets/data-set.js'
import type { DiffusionSettings } from '../diffusion/diffusion-options.js'
import { DpmError } from '../errors.js'
import type { NativeSettings } from '../native/binding.js'
import { type KindSchema, schemasOf } from '../options/kind-schema.js'
import { contextUnet } from './context-unet.js'
import { dit } from './dit.js'
import { edm2Unet } from './edm2-unet.js'
import { encoderUnet } from './encoder-unet.js'
import { linearAttentionUnet } from './linear-attention-unet.js'
import { mlp } from './mlp.js'
import { modifiedDdp } from './modified-ddp.js'
import type { NetworkDefinition } from './network-definition.js'
import { refinenet } from './refinenet.js'
import { songUnet } from './song-unet.js'
import { torchScript } from './torch-script.js'
import { uVit } from './u-vit.js'
import { unet } from './unet.js'
import { unet2d } from './unet-2d.js'

export const networks = {
  'context-unet': contextUnet,
  refinenet,
  'torch-script': torchScript,
  'song-unet': songUnet,
  unet,
  'unet-2d': unet2d,
  dit,
  'edm2-unet': edm2Unet,
  'linear-attention-unet': linearAttentionUnet,
  'encoder-unet': encoderUnet,
  'u-vit': uVit,
  mlp,
  'modified-ddp': modifiedDdp,
} as const satisfies Record<string, { readonly schema: KindSchema }>
export type NetworkKind = keyof typeof networks

export const networkSchema = z.discriminatedUnion('kind', schemasOf(networks))
export type NetworkOptions = z.input<typeof networkSchema>
export type NetworkSettings = z.output<typeof networkSchema>

/** What native code builds a network from. @throws DpmError DPM_INVALID_OPTION when settings and data do not fit. */
export function nativeSettings(
  settings: NetworkSettings,
  image: ImageShape,
  classes: number,
  outputs: 1 | 2,
): NativeSettings {
  const definition: NetworkDefinition<NetworkSettings> = networks[settings.kind]
  return definition.native(settings, image, classes, outputs)
}

/** Whether the network learns the forward step too. */
export function learnsForwardStep(settings: NetworkSettings): boolean {
  const definition: NetworkDefinition<NetworkSettings> = networks[settings.kind]
  return definition.learnsForwardStep ?? false
}

/** Whether a network tells the classes of noisy images apart instead of denoising them. */
export function isClassifier({ kind }: Pick<NetworkSettings, 'kind'>): boolean {
  const { gives }: Pick<NetworkDefinition, 'gives'> = networks[kind]
  return gives === 'logits'
}

/** Those of the data's classes that a network has to do with: all that it is told or tells apart, or none. */
export function knownClasses(settings: NetworkSettings, classes: readonly string[]): readonly string[] {
  return settings.classConditional || isClassifier(settings) ? classes : []
}

/** @throws DpmError DPM_INVALID_OPTION when the network cannot serve the process. */
export function requireProcess(settings: NetworkSettings, diffusion: DiffusionSettings): void {
  const definition: NetworkDefinition<NetworkSettings> = networks[settings.kind]
  if (isClassifier(settings) !== (diffusion.loss === 'cross-entropy')) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      isClassifier(settings)
        ? `The network "${settings.kind}" is a classifier: it cannot learn to denoise by \`diffusion.loss\` "${diffusion.loss}". Set the loss to "cross-entropy", or choose another network.`
        : `\`diffusion.loss\` "cross-entropy" teaches classifiers, and the network "${settings.kind}" is none. Choose the network "encoder-unet", or another loss.`,
    )
  }
  definition.requireProcess?.(settings, diffusion)
}
