/** `dpm-torch sample` of a model of pictures: files as they are finished, all of them in one picture, an animation. */
import type { Diffusion } from '../generation/diffusion.js'
import type { DrawingRecord } from '../generation/drawing-record.js'
import type { GenerateOptions } from '../generation/generate.js'
import { partsOf } from '../generation/parts.js'
import { chunkOf } from '../generation/run-size.js'
import { SampleFolder } from '../generation/sample-folder.js'
import { eachConcurrently } from '../images/concurrently.js'
import { imageFormatOf } from '../images/encode.js'
import { type GridOptions, requireGridFits } from '../images/grid.js'
import { Images } from '../images/image-batch.js'
import type { SamplePlaces } from './sample-places.js'
import { count as countText } from './words.js'

export interface PictureRequest {
  readonly places: SamplePlaces
  /** Images in a row; undefined leaves it to the grid. */
  readonly columns: number | undefined
  /** The animation shows the clean images that the network predicts. */
  readonly clean: boolean
  readonly overwrite: boolean
  /** How the pictures are drawn; asked for where files are written. */
  readonly record: () => Promise<DrawingRecord>
  /** Told of every step: of this batch, and the images that were drawn before it of all that are to be drawn. */
  readonly onStep: (step: number, drawn: number, toDraw: number, batch: number) => void
  /** Told what a person should know. */
  readonly onNote: (text: string) => void
}

export interface DrawnPictures {
  readonly grid: string | null
  readonly files: readonly string[]
  /** Of the files, those that were there already. */
  readonly kept: number
}

/**
 * Draws and writes. Where files are written, those that are there are kept, and an end before the last loses only the batch under way.
 * @throws DpmError DPM_INVALID_OPTION, DPM_WRITE_FAILED, DPM_ABORTED, …
 */
export async function drawPictures(
  model: Diffusion,
  options: GenerateOptions & { readonly count: number },
  request: PictureRequest,
): Promise<DrawnPictures> {
  const { places, onNote } = request
  const { count, first = 0 } = options
  const { channels, height, width } = model.image
  const shape = [channels, height, width] as const
  const gridOptions: GridOptions = request.columns === undefined ? {} : { columns: request.columns }
  if (places.grid !== undefined) {
    requireGridFits([count, ...shape], gridOptions, imageFormatOf(places.grid), '--count')
  }
  if (places.gif !== undefined) requireGridFits([count, ...shape], gridOptions, 'gif', '--count')
  const folder =
    places.folder === undefined
      ? undefined
      : await SampleFolder.open(places.folder, await request.record(), { first, count, overwrite: request.overwrite })
  // The states of pictures that are there are not: for an animation all are drawn again.
  const kept = places.gif === undefined && folder ? folder.kept : new Set<number>()
  if (kept.size > 0) onNote(`${countText(kept.size)} of them are in ${places.folder} already, and kept.`)
  const whole = places.grid === undefined && places.gif === undefined ? undefined : new Whole([count, ...shape])
  try {
    await drawBatches(model, options, request, { kept, folder, whole })
  } catch (error) {
    if (folder && places.folder !== undefined) await noteRest(folder, first, count, onNote)
    throw error
  }
  if (whole && folder) await whole.fill(kept, first, (number) => folder.pathOf(number))
  await writeWhole(whole, gridOptions, places, options.signal)
  return {
    grid: places.grid ?? null,
    files: folder ? Array.from({ length: count }, (_, place) => folder.pathOf(first + place)) : [],
    kept: kept.size,
  }
}

interface Drawing {
  readonly kept: ReadonlySet<number>
  readonly folder: SampleFolder | undefined
  readonly whole: Whole | undefined
}

async function drawBatches(
  model: Diffusion,
  options: GenerateOptions & { readonly count: number },
  { places, clean, onStep }: PictureRequest,
  { kept, folder, whole }: Drawing,
): Promise<void> {
  const { count, first = 0 } = options
  const toDraw = count - kept.size
  const batch = Math.min(toDraw, chunkOf(model.image, options))
  let drawn = 0
  const finish = async (images: Images, at: readonly number[]): Promise<void> => {
    whole?.add(images, at)
    await folder?.write(
      images,
      at.map((place) => first + place),
    )
    drawn += at.length
  }
  if (places.gif === undefined) {
    const skip = (place: number): boolean => kept.has(first + place)
    const onProgress = ({ step }: { readonly step: number }): void => onStep(step, drawn, toDraw, batch)
    for await (const { images, places: at } of model.sampleBatches({ ...options, skip, onProgress })) {
      await finish(images, at)
    }
    return
  }
  const { drawFrames } = await import('../generation/frames.js')
  for await (const part of partsOf(model.source, options)) {
    const { images, frames } = await drawFrames(model, part.options, {
      onStep: (step) => onStep(step, drawn, toDraw, batch),
      show: clean ? 'clean' : 'x',
    })
    whole?.addFrames([...frames, images], part.places)
    await finish(images, part.places)
  }
}

/** What is there after an end before the last picture. */
async function noteRest(
  folder: SampleFolder,
  first: number,
  count: number,
  onNote: (text: string) => void,
): Promise<void> {
  const there = await folder.numbersWithin(first, count).catch(() => [])
  if (there.length === 0) return
  onNote(`${countText(there.length)} of ${countText(count)} images are in ${folder.path}.`)
  onNote(`The same command goes on behind them, with --out ${folder.path}.`)
}

/** The grid and the animation, each although the other cannot be written. */
async function writeWhole(
  whole: Whole | undefined,
  options: GridOptions,
  { grid, gif }: SamplePlaces,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (!whole) return
  const { writeEach } = await import('../files/output-places.js')
  const { writeAnimation } = await import('../images/animation.js')
  const { failure } = await writeEach({
    ...(grid !== undefined && {
      [grid]: async () => {
        await whole.images.grid(options).toFile(grid)
        return undefined
      },
    }),
    ...(gif !== undefined && {
      [gif]: async () => {
        const frames = whole.frames.map((frame) => frame.grid(options))
        await writeAnimation(gif, frames, signal ? { signal } : {})
        return undefined
      },
    }),
  })
  if (failure) throw failure.error
}

/** All images of a run, put together of its batches; and its states, where an animation shows them. */
class Whole {
  readonly images: Images
  readonly #shape: Images['shape']
  readonly #frames: Images[] = []

  constructor(shape: Images['shape']) {
    this.#shape = shape
    this.images = new Images(new Uint8Array(shape.reduce((product, size) => product * size, 1)), shape)
  }

  get frames(): readonly Images[] {
    return this.#frames
  }

  add(images: Images, places: readonly number[]): void {
    put(images, places, this.images)
  }

  /** @param states of the images at these places, the last of them the images themselves */
  addFrames(states: readonly Images[], places: readonly number[]): void {
    const last = states.at(-1)
    if (!last) return
    while (this.#frames.length < states.length) {
      const before = this.#frames.at(-1)
      this.#frames.push(new Images(before ? before.data.slice() : new Uint8Array(this.images.data.length), this.#shape))
    }
    for (const [index, frame] of this.#frames.entries()) put(states[index] ?? last, places, frame)
  }

  /** Reads the pictures that were there already. */
  async fill(kept: ReadonlySet<number>, first: number, pathOf: (number: number) => string): Promise<void> {
    const { readInto } = await import('../images/read-images.js')
    const [, channels, height, width] = this.#shape
    const size = channels * height * width
    const numbers = [...kept]
    await eachConcurrently(numbers.length, async (index) => {
      const number = numbers[index] ?? 0
      await readInto(pathOf(number), [channels, height, width], this.images.data, (number - first) * size)
    })
  }
}

function put(images: Images, places: readonly number[], into: Images): void {
  const size = into.data.length / into.length
  for (const [n, place] of places.entries()) into.data.set(images.at(n).data, place * size)
}
