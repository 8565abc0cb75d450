/** `dpm-torch sample` of a model of vectors: a table, a picture of the points, an animation of how they come out of noise. */
import { join } from 'node:path'
import { DpmError } from '../errors.js'
import type { Diffusion } from '../generation/diffusion.js'
import type { GenerateOptions } from '../generation/generate.js'
import type { Vectors } from '../generation/vectors.js'
import type { ImageGrid } from '../images/grid.js'

export interface VectorFlags {
  readonly out?: string
  readonly gif?: string
  readonly clean?: boolean
  readonly image?: string
  readonly known?: string
  readonly lowResolution?: string
  readonly files?: boolean
}

export interface VectorRequest {
  readonly flags: VectorFlags
  /** Where the picture goes when no flag says so; also what a picture's name in --out became. */
  readonly picture: string | undefined
  /** The data that the model was trained on, to stand beside what is drawn. */
  readonly data: unknown
  readonly onStep: (step: number) => void
  /** Told what could not be done. */
  readonly onWarning: (text: string) => void
}

const animationFrames = 40
const tableEnding = /\.(csv|npy)$/i

/** @throws DpmError DPM_INVALID_OPTION for a table of a model of pictures. */
export function requireNoTable(out: string | undefined): void {
  if (out === undefined || !tableEnding.test(out)) return
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `"${out}" is the name of a table, and the model draws pictures. Give a picture (.png, .jpg, .webp) or a folder for --out.`,
  )
}

/** Draws and writes. @returns the picture and the table, as `dpm-torch sample --json` reports them. */
export async function drawVectors(
  model: Diffusion,
  options: GenerateOptions,
  request: VectorRequest,
): Promise<{ readonly grid: string | null; readonly files: readonly string[] }> {
  const { flags, onStep } = request
  for (const name of ['image', 'known', 'lowResolution', 'files'] as const) {
    if (flags[name] === undefined) continue
    const flag = name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)
    throw new DpmError('DPM_INVALID_OPTION', `--${flag} is about pictures, and the model draws vectors. Leave it out.`)
  }
  const { makeFolder } = await import('../files/make-folder.js')
  const { picture, table } = placesOf(request)
  const data = picture === undefined && flags.gif === undefined ? undefined : await dataOf(options, request)
  const vectors = await model.sampleVectors({ ...options, onProgress: ({ step }) => onStep(step) })
  if (flags.out !== undefined && picture !== flags.out && table !== flags.out) await makeFolder(flags.out)
  if (picture !== undefined) await (await vectors.plot(data)).toFile(picture)
  if (table !== undefined) await vectors.toFile(table)
  if (flags.gif !== undefined) await animate(model, options, flags.gif, data, flags.clean ? 'clean' : 'x')
  return { grid: picture ?? null, files: table === undefined ? [] : [table] }
}

interface Places {
  readonly picture: string | undefined
  readonly table: string | undefined
}

function placesOf({ flags: { out }, picture }: VectorRequest): Places {
  if (out === undefined) return { picture, table: picture?.replace(/\.png$/, '.csv') }
  if (tableEnding.test(out)) return { picture: undefined, table: out }
  if (picture === out) return { picture, table: undefined }
  return { picture: join(out, 'samples.png'), table: join(out, 'samples.csv') }
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
    request.onWarning(`The picture has the samples alone: ${error.message}`)
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
