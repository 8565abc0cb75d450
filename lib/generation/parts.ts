/**
 * A run in parts, one after the other: each sample has the noise, the class, the pictures and the chunk that it has when all are drawn
 * at once, so that it comes out the same to the bit, and memory does not grow with their number.
 */
import { expected } from '../errors.js'
import { Images } from '../images/image-batch.js'
import { Tensor } from '../tensor/tensor.js'
import type { GenerateOptions, Source } from './generate.js'
import { readGenerateOptions } from './generate-checks.js'
import { toldOf } from './guides/told.js'
import { chunkOf, countOf } from './run-size.js'

export interface PartsOptions {
  /** Whether the sample at a place, 0 … count-1, need not be drawn: it is there already. */
  readonly skip?: ((place: number) => boolean) | undefined
}

export interface Part {
  /** Of the samples in it, among those of the whole run. */
  readonly places: readonly number[]
  readonly samples: readonly number[]
  /** What draws them. Its tensors are disposed of when the next part is asked for. */
  readonly options: GenerateOptions
}

/**
 * The parts of a run, a network call's chunk of samples each.
 * @throws DpmError DPM_INVALID_OPTION, DPM_INVALID_ARGUMENT for pictures of another number than 1 or `count`
 */
export async function* partsOf(
  source: Pick<Source, 'image' | 'classes'>,
  asked: GenerateOptions,
  { skip }: PartsOptions = {},
): AsyncGenerator<Part, void, undefined> {
  const whole = readGenerateOptions(asked)
  const count = countOf(whole)
  const chunk = chunkOf(source.image, whole)
  const slices = await slicesOf(source, whole, count)
  for (let next = 0; next < count; ) {
    const places: number[] = []
    for (; next < count && places.length < chunk; next++) if (!skip?.(next)) places.push(next)
    if (places.length === 0) return
    const samples = places.map((place) => whole.samples?.[place] ?? (whole.first ?? 0) + place)
    using initial = slices.initial?.(places)
    const options: GenerateOptions = {
      ...whole,
      chunk,
      count: places.length,
      first: undefined,
      samples,
      ...(whole.classes && whole.classes.length > 0 && { classes: classesAt(whole, whole.classes, places) }),
      ...(whole.guides && { guides: guidesAt(whole, places) }),
      ...(whole.image && { image: { ...whole.image, images: slices.image?.(places) ?? whole.image.images } }),
      ...(whole.inpaint && {
        inpaint: {
          known: slices.known?.(places) ?? whole.inpaint.known,
          mask: slices.mask?.(places) ?? whole.inpaint.mask,
        },
      }),
      ...(whole.lowResolution && { lowResolution: slices.lowResolution?.(places) ?? whole.lowResolution }),
      ...(initial && { initial }),
    }
    yield { places, samples, options }
  }
}

/** Dealt out by the samples' numbers in the whole run. */
function classesAt(
  { first = 0, samples }: GenerateOptions,
  classes: readonly (number | string)[],
  places: readonly number[],
): (number | string)[] {
  const offset = samples ? 0 : first
  return places.map((place) => classes[(offset + place) % classes.length] ?? 0)
}

function guidesAt({ guides = [], first = 0 }: GenerateOptions, places: readonly number[]): GenerateOptions['guides'] {
  return guides.map((guide) => ({
    ...guide,
    gradient: toldOf(guide.gradient, (place) => first + (places[place] ?? place)),
  }))
}

type Slice<Value> = ((places: readonly number[]) => Value) | undefined

interface Slices {
  readonly image: Slice<Images>
  readonly known: Slice<Images>
  readonly mask: Slice<Float64Array | Images>
  readonly lowResolution: Slice<Images>
  readonly initial: Slice<Tensor>
}

/** What is given for each sample is cut; undefined for what is given once for all. */
async function slicesOf(
  { image: { height, width } }: Pick<Source, 'image'>,
  { image, inpaint, lowResolution, initial }: GenerateOptions,
  count: number,
): Promise<Slices> {
  return {
    image: image && imagesAt(image.images, count, 'image.images'),
    known: inpaint && imagesAt(inpaint.known, count, 'inpaint.known'),
    mask: inpaint && maskAt(inpaint.mask, count, height * width),
    lowResolution: lowResolution && imagesAt(lowResolution, count, 'lowResolution'),
    initial: initial && (await tensorAt(initial, count)),
  }
}

function imagesAt(images: Images, count: number, name: string): Slice<Images> {
  const [given, ...shape] = images.shape
  if (given === 1) return undefined
  if (given !== count) throw expected(`1 image, or ${count}`, name, given)
  const size = images.data.length / given
  return (places) => {
    const data = new Uint8Array(places.length * size)
    for (const [n, place] of places.entries()) data.set(images.at(place).data, n * size)
    return new Images(data, [places.length, ...shape])
  }
}

function maskAt(mask: ArrayLike<number> | Images, count: number, pixels: number): Slice<Float64Array | Images> {
  if (mask instanceof Images) return imagesAt(mask, count, 'inpaint.mask')
  if (mask.length !== count * pixels || count === 1) return undefined
  return (places) => {
    const data = new Float64Array(places.length * pixels)
    for (const [n, place] of places.entries()) {
      for (let i = 0; i < pixels; i++) data[n * pixels + i] = mask[place * pixels + i] ?? Number.NaN
    }
    return data
  }
}

async function tensorAt(tensor: Tensor, count: number): Promise<Slice<Tensor>> {
  const [given, ...shape] = tensor.shape
  if (given !== count) throw expected(`a tensor for ${count} samples`, 'initial', tensor.shape.join('×'))
  using float = await tensor.to({ dtype: 'float32', device: 'cpu' })
  const values = await float.data()
  const size = values.length / count
  return (places) => {
    const data = new Float32Array(places.length * size)
    for (const [n, place] of places.entries()) data.set(values.subarray(place * size, (place + 1) * size), n * size)
    return Tensor.from(data, [places.length, ...shape])
  }
}
