/** A network's options file gives one of these: its options, its native name, and what follows from its settings. */
import type { ImageShape } from '../datasets/data-set.js'
import type { DiffusionSettings } from '../diffusion/diffusion-options.js'
import type { NativeSettings } from '../native/binding.js'
import type { OptionsDefinition } from '../options/options.js'

export interface NetworkDefinition<Settings = unknown> {
  readonly name: string
  readonly options: OptionsDefinition<Settings>
  /** What it gives for an image: one like it, or, as a classifier, a logit for each class of the data; `images` when absent. */
  readonly gives?: 'images' | 'logits'
  /**
   * The complete settings that native code builds the network from.
   * @param image channels and size of the data. @param classes number of classes, 0 for none.
   * @param outputs output channels per image channel: 2 with a learned variance; 1 when absent.
   * @throws DpmError DPM_INVALID_OPTION when settings and image do not fit together.
   */
  native(settings: Settings, image: ImageShape, classes: number, outputs?: 1 | 2): NativeSettings
  /** Whether it has a network for the forward step too: `lib/diffusion/forward-step.ts`. */
  readonly learnsForwardStep?: boolean
  /** What the network needs of the process; anything will do when absent. @throws DpmError DPM_INVALID_OPTION */
  requireProcess?(settings: Settings, diffusion: DiffusionSettings): void
}
