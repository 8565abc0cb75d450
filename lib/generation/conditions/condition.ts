/** What a network sees beside x, made from images. Each kind is one file in this folder. */
import type * as z from 'zod'
import type { ExampleValues, ImageShape } from '../../datasets/data-set.js'
import type { Images } from '../../images/image-batch.js'
import type { KindSchema } from '../../options/kind-schema.js'
import type { Tensor } from '../../tensor/tensor.js'

export interface Condition {
  readonly name: string
  /** Channels of what the network sees beside x. */
  readonly channels: number
  /** Shape of the pictures that sampling is given. */
  readonly picture: ImageShape
  /**
   * N×channels×H×W in [-1, 1] for training images, N×C×H×W bytes. It lets other work of the thread pass between images.
   */
  ofImages(images: ExampleValues, count: number): Promise<Float32Array<ArrayBuffer>>
  /**
   * The same for the pictures of a sampling run: of `picture`'s shape, or of the images' own; one for all samples, or one
   * each.
   * @throws DpmError DPM_INVALID_ARGUMENT when their size or number does not fit.
   */
  ofPictures(pictures: Images, count: number): Tensor
}

export interface ConditionDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  /** Undefined where the network sees nothing. @throws DpmError DPM_INVALID_OPTION when settings and images do not fit. */
  create(settings: z.output<Schema>, image: ImageShape): Condition | undefined
}

export function defineCondition<Schema extends KindSchema>(definition: {
  readonly name: string
  readonly options: Schema
  readonly create: (settings: z.output<Schema>, image: ImageShape) => Condition | undefined
}): ConditionDefinition<Schema> {
  return { name: definition.name, schema: definition.options, create: definition.create }
}
