/** `dpm-torch bench`: how fast a recipe trains and is evaluated here, and where the time goes. */
import { join } from 'node:path'
import { Command } from 'commander'
import type { Benchmark, BenchmarkProgress } from '../benchmark/benchmark.js'
import type { PublishedShape } from '../datasets/define-data-set.js'
import { DpmError } from '../errors.js'
import type { Written } from '../files/output-places.js'
import { type Assignment, assign } from '../options/assign.js'
import type { RunSettings } from '../training/run-options.js'
import { benchmarkLines, profileLines } from './bench-table.js'
import {
  type CommonFlags,
  choosesProgram,
  deviceFlag,
  jsonFlag,
  precisionFlag,
  setFlag,
  type TrustFlags,
  trustFlag,
  wholeNumber,
} from './flags.js'
import { interruptible } from './interrupt.js'
import { printLine } from './print-line.js'
import { StatusLine } from './status-line.js'

interface BenchFlags extends CommonFlags, TrustFlags {
  readonly profile?: boolean
  readonly shapes?: boolean
  readonly top: number
  readonly evaluate?: boolean
  readonly steps: number
  readonly batch?: number
  readonly precision?: string
  readonly device?: string
  readonly threads?: number
  readonly out?: string
  readonly set?: readonly Assignment[]
}

const help = `
Examples:
  dpm-torch bench sprites
  dpm-torch bench ddpm-cifar10 --batch 8 --profile
  dpm-torch bench ddpm-cifar10 --batch 8 --profile --shapes --precision bfloat16 --out profile/bfloat16
  dpm-torch bench runs/sprites --evaluate --json

Data is made up, so no data set is needed. A training step is all of it: noise, forward, loss, backward, clipping,
optimizer, averages. The peak is the speed of libtorch's own convolution 3×3 here (128 → 128 channels at 32², 16 images).

With --profile, for each operation: its own time, without that of operations inside; bytes of its tensors, read and
written; floating-point operations (a convolution's are the direct sum's, by whatever algorithm); and its share of the
roofline, the time that this machine's convolution and copy speeds allow, by its time. Above 100 % its data was in a cache,
or it was a Winograd convolution. Writes bench.json, profile.svg and profile.png, into the folder profile unless --out names another.`

export function benchCommand(): Command {
  return new Command('bench')
    .description('measure training steps and network evaluations of a recipe on this machine; needs no data')
    .argument('[recipe]', 'a recipe, by name or .json file, or a run folder', 'sprites')
    .option('--profile', 'say where the time goes, operation by operation, and draw it')
    .option('--shapes', 'in the profile, a line for each shape of an operation')
    .option('--top <number>', 'lines of the profile', wholeNumber(1), 25)
    .option('--evaluate', 'only evaluations of the network, as sampling makes them')
    .option('--steps <number>', 'steps, and evaluations, to time', wholeNumber(1), 5)
    .option('--batch <number>', "images at a time (default: the recipe's)", wholeNumber(1))
    .addOption(precisionFlag())
    .addOption(deviceFlag())
    .option('--threads <number>', 'processor threads of one operation', wholeNumber(1))
    .option(
      '--out <folder>',
      'writes bench.json, and a picture of the profile, there (with --profile: default profile)',
    )
    .addOption(setFlag('change an option of the recipe; may be given again'))
    .addOption(trustFlag())
    .addOption(jsonFlag())
    .addHelpText('after', help)
    .action(run)
}

async function run(recipe: string, flags: BenchFlags): Promise<void> {
  if (flags.shapes && !flags.profile) {
    throw new DpmError('DPM_INVALID_OPTION', '--shapes is about the lines of --profile: give both.')
  }
  const { settings, shape } = await resolveRun(recipe, flags)
  const { benchmark } = await import('../benchmark/benchmark.js')
  const out = flags.out ?? (flags.profile ? 'profile' : undefined)
  const { OutputPlaces } = await import('../files/output-places.js')
  const { requireFolderName } = await import('../files/name-endings.js')
  if (out !== undefined) requireFolderName(out, '--out')
  await using _ = await OutputPlaces.open(out === undefined ? [] : [{ name: '--out', path: out, kind: 'folder' }])
  const line = new StatusLine()
  await interruptible(
    async (signal) => {
      const onProgress = ({ part, fraction }: BenchmarkProgress): void =>
        line.show(() => `${settings.name}: measuring ${partWords[part]} · ${Math.floor(100 * fraction)} %`)
      const works = flags.evaluate ? (['evaluation'] as const) : undefined
      const result = await benchmark({
        ...settings,
        steps: flags.steps,
        ...(shape ? { shape } : {}),
        ...(works ? { works } : {}),
        signal,
        onProgress,
      })
      line.clear()
      const { files, failure } = out === undefined ? noFiles : await writeFiles(out, result, flags.profile === true)
      if (flags.json) printLine(JSON.stringify({ ...(flags.profile ? result : withoutProfiles(result)), files }))
      else printLine([...benchmarkLines(result), ...profiles(result, flags), ...files].join('\n'))
      // What was measured is printed although it cannot be written.
      if (failure) throw failure.error
    },
    () => line.print('Stopping.'),
  ).finally(() => line.clear())
}

const partWords = { machine: 'the machine', training: 'training steps', evaluation: 'evaluations' } as const

/**
 * Of a recipe or a run, with the flags laid over it; and the shape of the data that a run has a checkpoint of.
 * @throws DpmError DPM_INVALID_OPTION, DPM_FILE_MISSING, DPM_FILE_INVALID
 */
async function resolveRun(
  recipe: string,
  flags: BenchFlags,
): Promise<{ readonly settings: RunSettings; readonly shape: PublishedShape | undefined }> {
  const { isRunFolder, RunFolder } = await import('../training/run-folder.js')
  const { readRecipe } = await import('../training/recipes.js')
  const { runOptions } = await import('../training/run-options.js')
  const isRun = (await isRunFolder(recipe)) || (recipe.includes('/') && !recipe.endsWith('.json'))
  const folder = isRun ? await RunFolder.open(recipe) : undefined
  const base = folder?.config ?? readRecipe(recipe)
  const given: readonly (readonly [path: readonly string[], value: unknown])[] = [
    [['training', 'batch'], flags.batch],
    [['precision'], flags.precision],
    [['device'], flags.device],
    [['threads'], flags.threads],
  ]
  const changes = given.flatMap(([path, value]) => (value === undefined ? [] : [{ path, value }]))
  const all = [...changes, ...(flags.set ?? [])]
  const settings = runOptions.parse(assign(base as Readonly<Record<string, unknown>>, all), recipe)
  const { readyNetwork, requireTrust } = await import('../networks/program-file.js')
  requireTrust(settings.network, flags.trustTorchScript || choosesProgram(flags.set), recipe)
  const network = await readyNetwork(settings.network, folder ? [folder.path] : [])
  const isOtherData = all.some(({ path }) => path[0] === 'data')
  return {
    settings: { ...settings, network },
    shape: folder && !isOtherData ? await shapeOf(folder.checkpoints) : undefined,
  }
}

/** Of the data that the newest checkpoint was trained on. */
async function shapeOf(checkpoints: string): Promise<PublishedShape | undefined> {
  const { findLatest } = await import('../checkpoints/checkpoint-folder.js')
  const latest = await findLatest(checkpoints, () => undefined)
  if (latest === undefined) return undefined
  const { Checkpoint } = await import('../checkpoints/checkpoint.js')
  await using checkpoint = await Checkpoint.open(latest)
  return { ...checkpoint.image, classes: checkpoint.classes.length }
}

function profiles(result: Benchmark, flags: BenchFlags): string[] {
  if (!flags.profile) return []
  const { training, evaluation } = result
  return Object.entries({ 'a training step': training, 'an evaluation': evaluation }).flatMap(([title, measurement]) =>
    measurement ? [...profileLines(title, measurement, flags.shapes === true, flags.top), ''] : [],
  )
}

/** What was measured, without the long lists. */
function withoutProfiles(result: Benchmark): object {
  const brief = (measurement: Benchmark['training']): object | null => {
    if (!measurement) return null
    const { profile: _, ...rest } = measurement
    return rest
  }
  return { ...result, training: brief(result.training), evaluation: brief(result.evaluation) }
}

const noFiles: Written = { files: [], failure: undefined }

async function writeFiles(folder: string, result: Benchmark, draws: boolean): Promise<Written> {
  const { writeEach } = await import('../files/output-places.js')
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
  const chart = async (): Promise<string> => (await import('../benchmark/profile-chart.js')).profileChart(result)
  const picture = async (): Promise<Uint8Array> => (await import('../images/chart.js')).chartPicture(await chart())
  return writeEach({
    [join(folder, 'bench.json')]: async () => encode(`${JSON.stringify(result, null, 2)}\n`),
    ...(draws && {
      [join(folder, 'profile.svg')]: async () => encode(await chart()),
      [join(folder, 'profile.png')]: picture,
    }),
  })
}
