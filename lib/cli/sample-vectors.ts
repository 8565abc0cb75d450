/** `dpm-torch sample` of a model of vectors: a table, a picture of the points, an animation of how they come out of noise. */
import { DpmError } from '../errors.js'
import type { Diffusion } from '../generation/diffusion.js'
import type { DrawingRecord } from '../generation/drawing-record.js'
import { dealClasses, type GenerateOptions } from '../generation/generate.js'
import type { RowStore } from '../generation/row-store.js'
import { chunkOf } from '../generation/run-size.js'
import type { Vectors } from '../generation/vectors.js'
import type { ImageGrid } from '../images/grid.js'
import type { SamplePlaces } from './sample-places.js'
import { count as countText } from './words.js'

export interface VectorRequest {
  readonly places: SamplePlaces
  /** The animation shows the clean vectors that the network predicts. */
  readonly clean: boolean
  readonly overwrite: boolean
  /** How the vectors are drawn; asked for where they are many. */
  readonly record: () => Promise<DrawingRecord>
  /** The data that the model was trained on, to stand beside what is drawn. */
  readonly data: unknown
  /** Told of every step: of this batch, and the vectors that were drawn before it of all that are to be drawn. */
  readonly onStep: (step: number, drawn: number, toDraw: number, batch: number) => void
  /** Told what a person should know. */
  readonly onNote: (text: string) => void
}

export interface DrawnVectors {
  readonly grid: string | null
  readonly files: readonly string[]
  /** Rows that an earlier call had drawn. */
  readonly kept: number
}

const animationFrames = 40

/** Draws and writes. @returns the picture and the table, as `dpm-torch sample --json` reports them. */
export async function drawVectors(
  model: Diffusion,
  options: GenerateOptions & { readonly count: number },
  request: VectorRequest,
): Promise<DrawnVectors> {
  const { grid, table, gif } = request.places
  const data = grid === undefined && gif === undefined ? undefined : await dataOf(options, request)
  const { vectors, kept, store } = await drawRows(model, options, request)
  await using _ = store
  const { writeEach } = await import('../files/output-places.js')
  const written = async (work: Promise<void>): Promise<undefined> => {
    await work
    return undefined
  }
  const { failure } = await writeEach({
    ...(table !== undefined && { [table]: () => written(vectors.toFile(table)) }),
    ...(grid !== undefined && { [grid]: async () => written((await vectors.plot(data)).toFile(grid)) }),
    ...(gif !== undefined && {
      [gif]: () => written(animate(model, options, gif, data, request.clean ? 'clean' : 'x')),
    }),
  })
  if (failure) throw failure.error
  await store?.remove()
  return { grid: grid ?? null, files: table === undefined ? [] : [table], kept }
}

interface DrawnRows {
  readonly vectors: Vectors
  readonly kept: number
  /** Rows of a table, kept until it is written. */
  readonly store: RowStore | undefined
}

/** Many are kept in a file as they are drawn, with which a later call goes on. */
async function drawRows(
  model: Diffusion,
  options: GenerateOptions & { readonly count: number },
  { places: { table }, overwrite, record, onStep, onNote }: VectorRequest,
): Promise<DrawnRows> {
  const { Vectors } = await import('../generation/vectors.js')
  const { RowStore } = await import('../generation/row-store.js')
  const { count, first = 0 } = options
  const names = model.image.columns?.names ?? []
  const chunk = chunkOf(model.image, options)
  const isKept = table !== undefined && count > chunk
  const store = isKept ? await RowStore.open(`${table}.partial`, await record(), names.length, overwrite) : undefined
  try {
    const values = new Float64Array(count * names.length)
    const kept = Math.min(count, store?.rows ?? 0)
    await store?.readInto(values)
    if (kept > 0) onNote(`${countText(kept)} of them are in ${store?.path} already, and kept.`)
    let drawn = 0
    const toDraw = count - kept
    const onProgress = ({ step }: { readonly step: number }): void =>
      onStep(step, drawn, toDraw, Math.min(chunk, toDraw))
    for await (const { vectors } of model.sampleVectorBatches({
      ...options,
      skip: (place) => place < kept,
      onProgress,
    })) {
      values.set(vectors.data, (kept + drawn) * names.length)
      await store?.append(vectors.data)
      drawn += vectors.length
    }
    const keys = options.samples ?? Float64Array.from({ length: count }, (_, place) => first + place)
    const labels = dealClasses(model.source, options.classes, count, keys, first)
    return { vectors: new Vectors(names, values, labels), kept, store }
  } catch (error) {
    if (store && store.rows > 0) {
      onNote(`${countText(store.rows)} of ${countText(count)} rows are kept in ${store.path}.`)
      onNote(`The same command goes on behind them, with --out ${table}.`)
    } else await store?.remove().catch(() => undefined)
    await store?.[Symbol.asyncDispose]()
    throw error
  }
}

/** As many vectors of the data, where they are still to be had. */
async function dataOf({ count = 16, signal }: GenerateOptions, request: VectorRequest): Promise<Vectors | undefined> {
  const { dataSchema, openDataSet } = await import('../datasets/list.js')
  const { parseOptions } = await import('../options/options.js')
  const { Vectors } = await import('../generation/vectors.js')
  try {
    const dataSet = await openDataSet(parseOptions(dataSchema, request.data, 'the data set of the run'), { signal })
    try {
      return await Vectors.first(dataSet, count, signal)
    } finally {
      await dataSet.close()
    }
  } catch (error) {
    if (!(error instanceof DpmError) || error.code !== 'DPM_DATA_MISSING') throw error
    request.onNote(`The picture has the samples alone: ${error.message}`)
    return undefined
  }
}

async function animate(
  model: Diffusion,
  options: GenerateOptions,
  file: string,
  data: Vectors | undefined,
  show: 'x' | 'clean',
): Promise<void> {
  const { createGallery } = await import('../generation/gallery.js')
  const { startGeneration } = await import('../generation/generate.js')
  const { writeAnimation } = await import('../images/animation.js')
  const { signal } = options
  using generation = await startGeneration(model.source, options)
  const gallery = createGallery(model.image, { data, labels: generation.classes })
  const every = Math.max(1, Math.ceil(generation.steps / animationFrames))
  const frames: ImageGrid[] = []
  for (;;) {
    const { done, step } = await generation.run.advance(every, { signal })
    const isLast = done || step >= generation.steps
    frames.push(await gallery.picture(await generation.run.read(isLast ? 'output' : show)))
    if (isLast) break
  }
  await writeAnimation(file, frames, signal ? { signal } : {})
}
