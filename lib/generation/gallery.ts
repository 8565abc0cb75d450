/** How what is drawn becomes a picture: images in a grid, vectors as points beside those of the data. */
import type { ImageShape } from '../datasets/data-set.js'
import type { ImageGrid } from '../images/grid.js'
import { Images } from '../images/image-batch.js'
import { ScatterPlot } from '../images/scatter.js'
import type { Tensor } from '../tensor/tensor.js'
import { Vectors } from './vectors.js'

export interface Gallery {
  /** The picture of N×C×H×W as networks see it; the tensor is disposed of. */
  picture(tensor: Tensor<'float32'>): Promise<ImageGrid>
}

export interface GalleryOptions {
  /** Images in a row. */
  readonly columns?: number | undefined
  /** Vectors of the data, to stand beside the others and to say how far the axes reach. */
  readonly data?: Vectors | undefined
  /** Class of each example; null without classes. */
  readonly labels?: Int32Array | null | undefined
}

export function createGallery(image: ImageShape, { columns, data, labels = null }: GalleryOptions): Gallery {
  const scale = image.columns
  if (!scale) {
    return { picture: async (tensor) => (await toImages(tensor, image)).grid(columns === undefined ? {} : { columns }) }
  }
  let plot: ScatterPlot | undefined
  return {
    async picture(tensor) {
      using owned = tensor
      const vectors = Vectors.fromFloats(await owned.data(), scale, labels)
      // Without data the axes reach over what networks see within ±3, where most of any column is.
      plot ??= await ScatterPlot.create({
        columns: scale.names,
        titles: data ? ['data', 'samples'] : ['samples'],
        reach:
          data ??
          Vectors.fromFloats(
            [-3, 3].flatMap((end) => scale.names.map(() => end)),
            scale,
          ),
      })
      return plot.draw(data ? [labels ? data : { data: data.data }, vectors] : [vectors])
    },
  }
}

/** Images from a tensor in the network's range; the tensor is disposed of. */
export async function toImages(tensor: Tensor<'float32'>, image: ImageShape): Promise<Images> {
  using owned = tensor
  return Images.fromFloats(await owned.data(), [owned.shape[0] ?? 0, image.channels, image.height, image.width])
}
