/** A network's options file gives one of these: its options, its native name, and what follows from its settings. */
import type { ImageShape } from '../datasets/data-set.js'
import type { DiffusionSettings } from '../diffusion/diffusion-options.js'
import type { NativeSettings } from '../native/binding.js'
import type { OptionsDefinition } from '../options/options.js'

/** A file of code, and its SHA-256 in hexadecimal; null where nobody has looked yet. */
export interface ProgramFile {
  readonly file: string
  readonly sha256: string | null
}

/** What a network that runs a file of code answers about it. */
export interface ProgramPart<Settings> {
  of(settings: Settings): ProgramFile
  at(settings: Settings, program: ProgramFile): Settings
  /** @returns its SHA-256. @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID where the file is not what is run. */
  check(path: string): Promise<string>
  /** Where such a file comes from. */
  readonly cure: string
}

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
  /** The file of code that it runs; absent for what is made of our own layers. */
  readonly program?: ProgramPart<Settings>
  /** What the network needs of the process; anything will do when absent. @throws DpmError DPM_INVALID_OPTION */
  requireProcess?(settings: Settings, diffusion: DiffusionSettings): void
}
