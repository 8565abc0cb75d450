/** `dpm-torch sample`: draws images from a run or a checkpoint. */
import { Command, Option } from 'commander'
import type { ImageShape } from '../datasets/data-set.js'
import type { Diffusion } from '../generation/diffusion.js'
import { type GenerateOptions, takesEveryClass } from '../generation/generate.js'
import { type Assignment, assign } from '../options/assign.js'
import { formatDuration } from '../training/progress.js'
import type { RunSettings } from '../training/run-options.js'
import {
  type CommonFlags,
  deviceFlag,
  finiteNumber,
  jsonFlag,
  precisionFlag,
  seedFlag,
  setFlag,
  type TrustFlags,
  trustFlag,
  wholeNumber,
} from './flags.js'
import { interruptible } from './interrupt.js'
import { printLine } from './print-line.js'
import { classesOf, moreClasses } from './sample-classes.js'
import { addEditFlags, type EditFlags, resolveEdits } from './sample-edits.js'
import { inputsOf, outputsOf, placesOf } from './sample-places.js'
import { recordOfRun } from './sample-record.js'
import { StatusLine } from './status-line.js'
import { count, examplesWord, shapeText } from './words.js'

interface SampleFlags extends CommonFlags, EditFlags, TrustFlags {
  readonly count?: number
  readonly classes?: readonly string[]
  readonly guidance?: number
  readonly sampler?: string
  readonly steps?: number
  readonly spacing?: string
  readonly finalLevel?: string
  readonly set?: readonly Assignment[]
  readonly seed: number | string
  readonly weights?: string
  readonly chunk?: number
  readonly device?: string
  readonly precision?: 'float32' | 'tf32' | 'bfloat16' | 'float16'
  readonly out?: string
  readonly grid?: boolean
  readonly files?: boolean
  readonly columns?: number
  readonly gif?: string
  readonly clean?: boolean
  readonly first?: number
  readonly overwrite?: boolean
}

const help = `
Examples:
  dpm-torch sample runs/sprites
  dpm-torch sample runs/sprites --classes "Food & Drink,Flags" --guidance 3 --count 32 --out food.png
  dpm-torch sample runs/sprites --sampler ddpm --gif denoising.gif
  dpm-torch sample runs/sprites --count 1000 --out images/ --files
  dpm-torch sample runs/sprites --image cat.png --strength 0.5 --gif out.gif --clean
  dpm-torch sample runs/sprites --known cat.png --mask hole.png --sampler repaint
  dpm-torch sample runs/sprites --classifier runs/sprites-classifier --classifier-scale 2 --classes Flags

Each image is drawn from a noise of its own, so that files are written as they are finished: the same command again, after Ctrl-C or with a
larger --count, goes on behind those that are in the folder. samples.json there says how they were drawn; a call that draws otherwise is
refused. --first 10000 draws images 10000, 10001, …: another process may draw those before. Pictures, tables and animations that are
there are replaced.

Of a picture the middle of the model's proportions is taken, turned as its orientation says; a mask lies on its picture and is cropped with
it. Of transparent pixels the colour is white.

What is not given is taken from the run's own previews, or from how an imported model is sampled. Image k of a seed is the same however many are drawn; with
--chunk to the last bit.`

export function sampleCommand(): Command {
  const command = new Command('sample')
    .description('draw images from a run folder or a checkpoint')
    .argument('<run>', 'a run folder, or a .safetensors checkpoint')
    .option('--count <number>', 'how many images (default: 16, or as many as fill the rows of classes)', wholeNumber(1))
    .option('--first <number>', 'number of the first image (default: 0)', wholeNumber(0))
    .option(
      '--classes <list>',
      'names or indices, separated by commas, dealt out in turn (default: all); a name with a comma in "quotes", or the flag again; none draws without class, or of a network that must be told one every class in turn',
      moreClasses,
    )
    .option('--guidance <scale>', 'classifier-free guidance; 1 is the plain conditional network', finiteNumber)
    .option(
      '--sampler <name>',
      'how to get from noise to images (default: what the model names, else that of its previews)',
    )
    .option('--steps <number>', 'steps of the sampler', wholeNumber(1))
    .option('--spacing <name>', 'how the times of the steps are spread')
    .option(
      '--final-level <name>',
      'where the run ends: clean, least-noise or least-noise-over-alpha (default: what the model names)',
    )
    .addOption(setFlag('an option of the sampler, such as eta=1; may be given again'))
    .addOption(seedFlag('the noise is a function of it').default(0))
    .option('--weights <which>', 'trained, or the index of an averaged copy (default: the first)')
    .option('--chunk <number>', 'images per call of the network', wholeNumber(1))
    .addOption(deviceFlag())
    .addOption(precisionFlag())
    .addOption(trustFlag())
    .option(
      '--out <path>',
      "a picture (.png, .jpg, .webp), of vectors a table (.csv, .npy), or a folder (default: the run's samples/, else here)",
    )
    .addOption(new Option('--grid', 'all images in one picture, also when --out is a folder'))
    .addOption(new Option('--files', 'a file for each image, in the folder --out'))
    .option('--overwrite', 'draw anew what is in the folder --out already')
    .option('--columns <number>', 'images in a row of the picture', wholeNumber(1))
    .option('--gif <file>', 'how the images come out of noise, as an animation')
    .option('--clean', 'the animation shows the clean images that the network predicts on the way')
  return addEditFlags(command).addOption(jsonFlag()).addHelpText('after', help).action(run)
}

async function run(path: string, flags: SampleFlags): Promise<void> {
  const { Diffusion } = await import('../generation/diffusion.js')
  const { OutputPlaces } = await import('../files/output-places.js')
  const line = new StatusLine()
  const startedAt = performance.now()
  await interruptible(
    async (signal) => {
      const stored = await readStored(path)
      const places = await placesOf(path, flags, stored.image)
      await using _ = await OutputPlaces.open(outputsOf(places), inputsOf(path, flags))
      using model = await Diffusion.load(stored.path, {
        ...(flags.device === undefined ? {} : { device: flags.device }),
        ...(flags.precision === undefined ? {} : { precision: flags.precision }),
        ...(flags.weights === undefined ? {} : { weights: weightsOf(flags.weights) }),
        trust: flags.trustTorchScript ?? false,
      })
      const { options: asked, columns } = await resolveOptions(model, stored.previews, flags)
      using edits = await resolveEdits(model, flags, asked, (text) => line.print(text))
      const options = { ...asked, ...edits.options, count: asked.count, seed: asked.seed }
      const steps = model.stepsOf(options)
      line.print(`${stored.name}${describe(model, options, steps)}`)
      const request = {
        places,
        columns,
        clean: flags.clean === true,
        overwrite: flags.overwrite === true,
        record: () => recordOfRun(stored.path, model, options, flags),
        data: stored.data,
        onStep: progressOf(line, steps, examplesWord(model.image)),
        onNote: (text: string) => line.print(text),
      }
      const draw = model.image.columns
        ? (await import('./sample-vectors.js')).drawVectors
        : (await import('./sample-pictures.js')).drawPictures
      const written = await draw(model, { ...options, signal }, request)
      line.clear()
      const seconds = (performance.now() - startedAt) / 1000
      if (flags.json) {
        const { count: drawn, first = 0, sampler, seed, guidance, spacing } = options
        const gif = flags.gif ?? null
        const settings = { count: drawn, first, sampler, steps, spacing, seed, guidance: guidance ?? null }
        printLine(
          JSON.stringify({
            ...written,
            gif,
            ...settings,
            classes: toldClasses(model, options),
            step: model.step,
            seconds,
          }),
        )
        return
      }
      if (written.grid !== null) printLine(written.grid)
      if (written.files.length > 0) printLine([...new Set([written.files[0], written.files.at(-1)])].join(' … '))
      if (places.gif !== undefined) printLine(places.gif)
    },
    () => line.print('Stopping.'),
  ).finally(() => line.clear())
}

type Previews = RunSettings['previews']

interface Stored {
  readonly path: string
  readonly name: string
  readonly image: ImageShape
  readonly previews: Previews
  readonly data: unknown
}

/** The checkpoint that is drawn from, and how its run draws previews; of a model from elsewhere, what it recommends. */
async function readStored(path: string): Promise<Stored> {
  const { readCheckpoint } = await import('../checkpoints/checkpoint-folder.js')
  const { modelSchema } = await import('../generation/model-options.js')
  const { runSchema } = await import('../training/run-options.js')
  await using checkpoint = await readCheckpoint(path)
  const { name, previews, sampling, data } = checkpoint.settings
  const parsed = runSchema.shape.previews.safeParse(previews)
  const named = modelSchema.shape.sampling.safeParse(sampling)
  const own = Object.entries(named.success ? named.data : {}).filter(([, value]) => value !== null)
  return {
    path: checkpoint.path,
    name: typeof name === 'string' ? name : 'model',
    image: checkpoint.image,
    previews: parsed.success ? parsed.data : runSchema.shape.previews.parse(Object.fromEntries(own)),
    data,
  }
}

interface Resolved {
  readonly options: GenerateOptions & { readonly count: number; readonly seed: number | string }
  /** Images in a row; undefined leaves it to the grid. */
  readonly columns: number | undefined
}

/** The sampler that the model names, else that of the previews, whose steps and spacing are for their own sampler. */
function usualSampling({ settings, process }: Diffusion, previews: Previews) {
  const { sampler, steps, spacing } = settings.sampling
  if (sampler === null) return previews
  if (sampler.kind === previews.sampler.kind)
    return { sampler, steps: steps ?? previews.steps, spacing: spacing ?? previews.spacing }
  return { sampler, steps: steps ?? process.schedule.steps ?? previews.steps, spacing }
}

/** What the flags ask for; for the rest, what the model names, or else what the run's own previews are drawn with. */
async function resolveOptions(model: Diffusion, previews: Previews, flags: SampleFlags): Promise<Resolved> {
  const { network } = model.settings
  const { parseSampler } = await import('../sampling/samplers.js')
  const { parseSpacing } = await import('../sampling/spacings/list.js')
  const { finalLevelSchema } = await import('../sampling/levels.js')
  const { parseOptions } = await import('../options/options.js')
  const usual = usualSampling(model, previews)
  const isUsual = flags.sampler === undefined || flags.sampler === usual.sampler.kind
  // Another sampler need not do with the usual one's spacing, nor with as few steps.
  const usualSpacing = isUsual ? (usual.spacing ?? undefined) : undefined
  const spacing = flags.spacing === undefined ? usualSpacing : parseSpacing(flags.spacing as never, '--spacing')
  const finalLevel =
    flags.finalLevel === undefined ? undefined : parseOptions(finalLevelSchema, flags.finalLevel, '--final-level')
  const base = isUsual ? usual.sampler : { kind: flags.sampler }
  const sampler = parseSampler(assign(base as Record<string, unknown>, flags.set ?? []) as never, '--sampler and --set')
  const times = model.process.schedule.steps ?? usual.steps
  const steps = flags.steps ?? (isUsual ? Math.min(usual.steps, times) : undefined)
  // Of a network that is told no classes, those of --classes are the classifier's.
  const isTold = model.classes.length > 0 || flags.classifier === undefined
  const classes = isTold ? classesOf(model.classes, flags.classes) : undefined
  const rowLength = classes !== undefined && classes.length > 1 && classes.length <= 20 ? classes.length : undefined
  const guidance = flags.guidance ?? (classes !== undefined && network.nullClass ? previews.guidance : undefined)
  const defaultCount = model.image.columns
    ? previews.columns * previews.rows
    : rowLength === undefined
      ? 16
      : rowLength * Math.ceil(16 / rowLength)
  return {
    options: {
      count: flags.count ?? defaultCount,
      sampler,
      steps,
      spacing,
      first: flags.first,
      finalLevel,
      seed: flags.seed,
      classes,
      guidance,
      chunk: flags.chunk,
    },
    columns: flags.columns ?? rowLength,
  }
}

function weightsOf(text: string): number | 'trained' {
  if (text === 'trained') return text
  return /^[0-9]+$/.test(text) ? Number(text) : (text as never)
}

function describe(
  model: Diffusion,
  { count: drawn = 0, sampler, seed, guidance, classes }: GenerateOptions,
  steps: number,
): string {
  const kind = typeof sampler === 'object' ? sampler.kind : sampler
  const everyClass = takesEveryClass(model.source)
    ? `, its ${count(model.classes.length)} classes in turn because the network must be told one`
    : ''
  const told = classes === undefined ? everyClass : ''
  const guided = classes !== undefined && guidance !== undefined && guidance !== 1 ? `, guidance ${guidance}` : ''
  return ` at step ${count(model.step)}: ${count(drawn)} ${examplesWord(model.image)} of ${shapeText(model.image)}, ${kind} in ${steps} steps${guided}${told}, seed ${seed}`
}

/** The classes that are dealt out in turn; null where the images have none. */
function toldClasses({ source }: Diffusion, { classes }: GenerateOptions): readonly (number | string)[] | null {
  return classes ?? (takesEveryClass(source) ? source.classes.map((_, index) => index) : null)
}

/** Says how far the run is, and how long what is left will take. */
function progressOf(line: StatusLine, steps: number, what: string) {
  const startedAt = performance.now()
  return (step: number, drawn: number, toDraw: number, batch: number): void =>
    line.show(() => {
      const seconds = (performance.now() - startedAt) / 1000
      const inBatch = `step ${step} of ${steps}`
      if (batch >= toDraw) return `${inBatch} · ${formatDuration(seconds)}`
      const done = drawn + (batch * step) / steps
      const left = done > 0 ? ` · ${formatDuration((seconds * Math.max(0, toDraw - done)) / done)} left` : ''
      return `${count(drawn)} of ${count(toDraw)} ${what} · ${inBatch}${left}`
    })
}
