/** Pictures of a run: sample grids while it trains, and at the end how images come out of noise. Classes have a row each. */
import { join } from 'node:path'
import type { DataSet } from '../datasets/data-set.js'
import { createProcess } from '../diffusion/diffusion-options.js'
import { DpmError } from '../errors.js'
import { createGallery, type Gallery } from '../generation/gallery.js'
import { type GenerateOptions, type Generation, type Source, startGeneration, stepsOf } from '../generation/generate.js'
import { Vectors } from '../generation/vectors.js'
import { writeAnimation } from '../images/animation.js'
import type { ImageGrid } from '../images/grid.js'
import { Images } from '../images/image-batch.js'
import { isClassifier, knownClasses } from '../networks/list.js'
import type { OpenRun } from './open-run.js'
import type { RunFolder } from './run-folder.js'
import type { RunJournal } from './run-journal.js'
import type { RunSettings } from './run-options.js'

type PreviewSettings = RunSettings['previews']

export interface PreviewPlace {
  readonly folder: RunFolder
  readonly dataSet: DataSet
  readonly journal: RunJournal | undefined
  readonly step: number
  readonly signal?: AbortSignal | undefined
}

const animationFrames = 40

/** Whether a run draws any: there are none of a classifier. */
export function drawsPreviews({ previews, network }: Pick<RunSettings, 'previews' | 'network'>): boolean {
  return previews.everySteps > 0 && !isClassifier(network)
}

/**
 * Whether the pictures of a run can be drawn at all: asked before it begins, so that hours of training do not end at the
 * first of them.
 * @throws DpmError DPM_INVALID_OPTION naming the options of `previews` and `diffusion` that do not fit together.
 */
export function requirePreviews(settings: RunSettings, dataSet: DataSet): void {
  if (!drawsPreviews(settings)) return
  const { previews, diffusion, network, precision } = settings
  const source: Omit<Source, 'network'> = {
    device: 'cpu',
    precision,
    process: createProcess(diffusion),
    image: dataSet,
    classes: knownClasses(network, dataSet.classes),
    nullClass: network.nullClass,
    conditionChannels: network.conditionChannels,
  }
  try {
    stepsOf(source, previewOptions(source, previews, undefined))
  } catch (error) {
    if (!(error instanceof DpmError)) throw error
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The run's pictures could not be drawn: ${error.message} Change \`previews\` or \`diffusion\`, or draw none with \`previews.everySteps\` 0.`,
      { cause: error },
    )
  }
}

/** What a run draws from: its first averaged copy. @throws DpmError DPM_INVALID_OPTION of a classifier. */
export function sourceOf({ settings, state, process, dataSet, device, condition }: OpenRun): Source {
  const { network, precision } = settings
  if (isClassifier(network)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The network "${network.kind}" is a classifier, which draws no images. Guide another model by its checkpoint: \`NoisyClassifier.load\`.`,
    )
  }
  return {
    network: state.averaged,
    device,
    precision,
    process,
    image: dataSet,
    classes: knownClasses(network, dataSet.classes),
    nullClass: network.nullClass,
    conditionChannels: state.network.settings.conditionChannels,
    condition,
  }
}

/**
 * Numbers that overflow while a picture is drawn end no run, whose loss is watched on its own: the picture is left out. Any other
 * error ends it, and names the options by which the run goes on without pictures.
 */
export async function drawOrLeaveOut(
  draw: () => Promise<string>,
  step: number,
  warn: (message: string) => void,
): Promise<string | undefined> {
  try {
    return await draw()
  } catch (error) {
    if (!(error instanceof DpmError) || error.code === 'DPM_ABORTED') throw error
    if (error.code !== 'DPM_NON_FINITE') {
      const details = { cure: { 'previews.everySteps': 0 }, ...error.details }
      throw new DpmError(error.code, `The picture of step ${step} could not be drawn. ${error.message}`, {
        cause: error.cause ?? error,
        details,
        nativeStack: error.nativeStack,
      })
    }
    warn(`A picture of step ${step} is left out, and training goes on: ${error.message}`)
    return undefined
  }
}

/** Draws `samples/step-00001000.png`, and shows it in TensorBoard. @returns its path. */
export async function drawPreview(source: Source, settings: PreviewSettings, place: PreviewPlace): Promise<string> {
  const options = previewOptions(source, settings, place.signal)
  using generation = await startGeneration(source, await withPictures(source, place.dataSet, options))
  await generation.run.advance(Number.POSITIVE_INFINITY, { signal: place.signal })
  const gallery = await galleryOf(generation, settings, place)
  const grid = await gallery.picture(await generation.run.read('output'))
  const path = join(place.folder.samples, `step-${String(place.step).padStart(8, '0')}.png`)
  await grid.toFile(path)
  await place.journal?.picture('samples', grid, place.step)
  return path
}

/** Draws `samples/denoising.gif`: the same images, from noise to the end. @returns its path. */
export async function drawAnimation(source: Source, settings: PreviewSettings, place: PreviewPlace): Promise<string> {
  const { signal, dataSet } = place
  const options = { ...previewOptions(source, settings, signal), steps: animationSteps(source, settings) }
  using generation = await startGeneration(source, await withPictures(source, dataSet, options))
  const every = Math.max(1, Math.ceil(generation.steps / animationFrames))
  const gallery = await galleryOf(generation, settings, place)
  const frames: ImageGrid[] = []
  for (;;) {
    const { done, step } = await generation.run.advance(every, { signal })
    const which = done || step >= generation.steps ? 'output' : 'x'
    frames.push(await gallery.picture(await generation.run.read(which)))
    if (which === 'output') break
  }
  const path = join(place.folder.samples, 'denoising.gif')
  await writeAnimation(path, frames, signal ? { signal } : {})
  return path
}

/** Vectors are shown beside as many of the data. */
async function galleryOf(
  { count, classes }: Generation,
  { columns }: PreviewSettings,
  { dataSet, signal }: PreviewPlace,
): Promise<Gallery> {
  const data = dataSet.columns && (await Vectors.first(dataSet, count, signal))
  return createGallery(dataSet, { columns, data, labels: classes })
}

/** Steps of the animation: enough for its frames. */
export function animationSteps(source: Pick<Source, 'process'>, settings: PreviewSettings): number {
  return Math.min(source.process.schedule.steps ?? Number.POSITIVE_INFINITY, Math.max(settings.steps, animationFrames))
}

/** Rows of one class each where there are classes, as many as asked; the same noise at every step of the run. */
export function previewOptions(
  source: Omit<Source, 'network'>,
  settings: PreviewSettings,
  signal: AbortSignal | undefined,
): GenerateOptions {
  const { columns, sampler, spacing } = settings
  const rows = source.classes.length > 0 ? Math.min(settings.rows, source.classes.length) : settings.rows
  const classes = Array.from({ length: rows * columns }, (_, index) => Math.floor(index / columns))
  return {
    count: rows * columns,
    sampler,
    steps: Math.min(settings.steps, source.process.schedule.steps ?? settings.steps),
    spacing: spacing ?? undefined,
    seed: 0,
    signal,
    ...(source.classes.length > 0 ? { classes, guidance: settings.guidance } : {}),
  }
}

/** The first images of the data to make larger, with their classes, where the network makes images larger. */
export async function withPictures(
  { condition, classes }: Source,
  dataSet: DataSet,
  options: GenerateOptions,
): Promise<GenerateOptions> {
  if (!condition) return options
  const count = options.count ?? 1
  const indices = Array.from({ length: count }, (_, index) => index % dataSet.length)
  const { channels, height, width } = dataSet
  const bytes = new Uint8Array(count * channels * height * width)
  await dataSet.read(indices, bytes, options.signal)
  return {
    ...options,
    lowResolution: new Images(bytes, [count, channels, height, width]),
    ...(classes.length > 0 && { classes: indices.map((index) => dataSet.classOf(index)) }),
  }
}
