/** `dpm-torch sample`: draws images from a run or a checkpoint. */
import { access } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { Command, Option } from 'commander'
import { DpmError } from '../errors.js'
import type { Diffusion } from '../generation/diffusion.js'
import { type GenerateOptions, takesEveryClass } from '../generation/generate.js'
import type { Images } from '../images/image-batch.js'
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
  wholeNumber,
} from './flags.js'
import { interruptible } from './interrupt.js'
import { printLine } from './print-line.js'
import { classesOf, moreClasses } from './sample-classes.js'
import { addEditFlags, type EditFlags, resolveEdits } from './sample-edits.js'
import { StatusLine } from './status-line.js'
import { count, examplesWord, shapeText } from './words.js'

interface SampleFlags extends CommonFlags, EditFlags {
  readonly count?: number
  readonly classes?: readonly string[]
  readonly guidance?: number
  readonly sampler?: string
  readonly steps?: number
  readonly spacing?: string
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

What is not given is taken from the run's own previews, or from how an imported model is sampled. Image k of a seed is the same however many are drawn; with
--chunk to the last bit.`

export function sampleCommand(): Command {
  const command = new Command('sample')
    .description('draw images from a run folder or a checkpoint')
    .argument('<run>', 'a run folder, or a .safetensors checkpoint')
    .option('--count <number>', 'how many images (default: 16, or as many as fill the rows of classes)', wholeNumber(1))
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
    .addOption(setFlag('an option of the sampler, such as eta=1; may be given again'))
    .addOption(seedFlag('the noise is a function of it').default(0))
    .option('--weights <which>', 'trained, or the index of an averaged copy (default: the first)')
    .option('--chunk <number>', 'images per call of the network', wholeNumber(1))
    .addOption(deviceFlag())
    .addOption(precisionFlag())
    .option(
      '--out <path>',
      "a picture (.png, .jpg, .webp), of vectors a table (.csv, .npy), or a folder (default: the run's samples/, else here)",
    )
    .addOption(new Option('--grid', 'all images in one picture, also when --out is a folder'))
    .addOption(new Option('--files', 'a file for each image, in the folder --out'))
    .option('--columns <number>', 'images in a row of the picture', wholeNumber(1))
    .option('--gif <file>', 'how the images come out of noise, as an animation')
    .option('--clean', 'the animation shows the clean images that the network predicts on the way')
  return addEditFlags(command).addOption(jsonFlag()).addHelpText('after', help).action(run)
}

async function run(path: string, flags: SampleFlags): Promise<void> {
  if (flags.gif !== undefined && extname(flags.gif).toLowerCase() !== '.gif') {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected a name that ends in .gif for \`--gif\` but received "${flags.gif}".`,
    )
  }
  const place = await placeOf(path, flags)
  const { Diffusion } = await import('../generation/diffusion.js')
  const { drawVectors, requireNoTable } = await import('./sample-vectors.js')
  const line = new StatusLine()
  const startedAt = performance.now()
  await interruptible(
    async (signal) => {
      const stored = await readStored(path)
      using model = await Diffusion.load(stored.path, {
        ...(flags.device === undefined ? {} : { device: flags.device }),
        ...(flags.precision === undefined ? {} : { precision: flags.precision }),
        ...(flags.weights === undefined ? {} : { weights: weightsOf(flags.weights) }),
      })
      if (!model.image.columns) requireNoTable(flags.out)
      const { options: asked, columns } = await resolveOptions(model, stored.previews, flags)
      using edits = await resolveEdits(model, flags, asked)
      const options = { ...asked, ...edits.options }
      const steps = model.stepsOf(options)
      line.print(`${stored.name}${describe(model, options, steps)}`)
      const onStep = (step: number): void =>
        line.show(() => `step ${step} of ${steps} · ${formatDuration((performance.now() - startedAt) / 1000)}`)
      const written = model.image.columns
        ? await drawVectors(
            model,
            { ...options, signal },
            { flags, picture: place.grid, data: stored.data, onStep, onWarning: (text) => line.print(text) },
          )
        : await write(await draw(model, { ...options, signal }, flags, columns, onStep), place, columns)
      line.clear()
      const seconds = (performance.now() - startedAt) / 1000
      if (flags.json) {
        const { count: drawn, sampler, seed, guidance, spacing } = options
        const gif = flags.gif ?? null
        const settings = { count: drawn, sampler, steps, spacing, seed, guidance: guidance ?? null }
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
      if (flags.gif !== undefined) printLine(flags.gif)
    },
    () => line.print('Stopping.'),
  ).finally(() => line.clear())
}

type Previews = RunSettings['previews']

/** The checkpoint that is drawn from, and how its run draws previews; of a model from elsewhere, what it recommends. */
async function readStored(
  path: string,
): Promise<{ readonly path: string; readonly name: string; readonly previews: Previews; readonly data: unknown }> {
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
  const usual = usualSampling(model, previews)
  const isUsual = flags.sampler === undefined || flags.sampler === usual.sampler.kind
  // Another sampler need not do with the usual one's spacing, nor with as few steps.
  const usualSpacing = isUsual ? (usual.spacing ?? undefined) : undefined
  const spacing = flags.spacing === undefined ? usualSpacing : parseSpacing(flags.spacing as never, '--spacing')
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

/** Draws the images; with --gif also the states on the way. */
async function draw(
  model: Diffusion,
  options: GenerateOptions,
  flags: SampleFlags,
  columns: number | undefined,
  onStep: (step: number) => void,
): Promise<Images> {
  if (flags.gif === undefined) return model.sample({ ...options, onProgress: ({ step }) => onStep(step) })
  const { drawFrames } = await import('../generation/frames.js')
  const { writeAnimation } = await import('../images/animation.js')
  const { images, frames } = await drawFrames(model, options, { onStep, show: flags.clean ? 'clean' : 'x' })
  const grids = [...frames, images].map((frame) => frame.grid(columns === undefined ? {} : { columns }))
  await writeAnimation(flags.gif, grids, options.signal ? { signal: options.signal } : {})
  return images
}

interface Place {
  readonly grid: string | undefined
  readonly folder: string | undefined
}

const pictureEndings = ['.png', '.jpg', '.jpeg', '.webp']

/** Where pictures go: known before anything is drawn, so that a wrong flag costs no time. */
async function placeOf(path: string, flags: SampleFlags): Promise<Place> {
  const isPicture = flags.out !== undefined && pictureEndings.includes(extname(flags.out).toLowerCase())
  if (isPicture) {
    if (!flags.files) return { grid: flags.out, folder: undefined }
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `--files needs a folder for --out, and "${flags.out}" is the name of a picture.`,
    )
  }
  const base = flags.out ?? (await defaultPlace(path))
  const wantsFiles = flags.files === true || (flags.out !== undefined && !flags.grid)
  const wantsGrid = flags.grid === true || !wantsFiles
  const grid = flags.out === undefined ? `${base}.png` : join(base, 'grid.png')
  return { grid: wantsGrid ? grid : undefined, folder: wantsFiles ? base : undefined }
}

/** `<run>/samples/sample-0001` with the first number that is free, or `samples` here when a file was named. */
async function defaultPlace(path: string): Promise<string> {
  if (!(await exists(join(path, 'config.json')))) return 'samples'
  for (let number = 1; ; number++) {
    const base = join(path, 'samples', `sample-${String(number).padStart(4, '0')}`)
    const taken = (await exists(`${base}.png`)) || (await exists(base))
    if (!taken) return base
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

async function write(
  images: Images,
  { grid, folder }: Place,
  columns: number | undefined,
): Promise<{ readonly grid: string | null; readonly files: readonly string[] }> {
  const files = folder === undefined ? [] : await images.toFiles(folder)
  if (grid !== undefined) await images.grid(columns === undefined ? {} : { columns }).toFile(grid)
  return { grid: grid ?? null, files }
}
