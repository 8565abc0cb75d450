/** `dpm-torch likelihood`: bits per dimension of a run on images of its data. */
import { readdir } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { Command, Option } from 'commander'
import type { DataSettings } from '../datasets/list.js'
import { DpmError } from '../errors.js'
import type { LikelihoodDetails, LikelihoodProgress, LikelihoodResult } from '../evaluation/likelihood.js'
import { type Assignment, assign, parseAssignment } from '../options/assign.js'
import { formatDuration } from '../training/progress.js'
import {
  type CommonFlags,
  deviceFlag,
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
import { StatusLine } from './status-line.js'
import { columns, count, examplesWord, shapeText } from './words.js'

interface LikelihoodFlags extends CommonFlags, TrustFlags {
  readonly method?: string
  readonly images: number
  readonly split?: 'train' | 'test'
  readonly data?: readonly Assignment[]
  readonly class: boolean
  readonly set?: readonly Assignment[]
  readonly seed: number | string
  readonly weights?: string
  readonly batch: number
  readonly chunk?: number
  readonly device?: string
  readonly precision?: 'float32' | 'tf32' | 'bfloat16' | 'float16'
  readonly out?: string
}

const help = `
Examples:
  dpm-torch likelihood runs/cifar10 --images 256
  dpm-torch likelihood runs/cifar10 --method vlb --set times=50 --split train
  dpm-torch likelihood runs/cifar10 --method ode --set tolerance=1e-4 --set draws=5

vlb sums the terms of the variational bound (an upper bound of the bits), and draws the rate-distortion curve; continuous-vlb is
the bound of continuous time; ode follows the probability flow. All are -log2 p / D of 8-bit data, so they compare with
published bits per dimension.`

export function likelihoodCommand(): Command {
  return new Command('likelihood')
    .description('compute bits per dimension of a run on images of its data')
    .argument('<run>', 'a run folder, or a .safetensors checkpoint')
    .option(
      '--method <name>',
      'vlb, continuous-vlb or ode (default: vlb of pictures where the schedule has discrete times, else ode)',
    )
    .option(
      '--images <number>',
      'how many images, chosen by the seed; as many as there are at most',
      wholeNumber(1),
      64,
    )
    .addOption(
      new Option('--split <name>', 'part of the data (default: test, where the data has one)').choices([
        'train',
        'test',
      ]),
    )
    .addOption(
      new Option('--data <path=value>', 'an option of the data set, such as path=/data/cifar10; may be given again')
        .argParser((text: string, before: readonly Assignment[] | undefined) => [
          ...(before ?? []),
          parseAssignment(text),
        ])
        .default(undefined),
    )
    .option('--no-class', 'do not tell a class-conditional network the class of each image')
    .addOption(setFlag('an option of the method, such as times=50 or solver=rk4; may be given again'))
    .addOption(seedFlag('all noise and the choice of images are a function of it').default(0))
    .option('--weights <which>', 'trained, or the index of an averaged copy (default: the first)')
    .option('--batch <number>', 'images on their way at once', wholeNumber(1), 64)
    .option('--chunk <number>', 'images per call of the network', wholeNumber(1))
    .addOption(deviceFlag())
    .addOption(precisionFlag())
    .addOption(trustFlag())
    .option('--out <file>', "where the numbers go (.json; default: the run's evaluation/)")
    .addOption(jsonFlag())
    .addHelpText('after', help)
    .action(run)
}

async function run(path: string, flags: LikelihoodFlags): Promise<void> {
  if (flags.out !== undefined && extname(flags.out).toLowerCase() !== '.json') {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Expected a name that ends in .json for \`--out\` but received "${flags.out}".`,
    )
  }
  const { OutputPlaces } = await import('../files/output-places.js')
  const { Diffusion } = await import('../generation/diffusion.js')
  const { openDataSet } = await import('../datasets/list.js')
  const { evaluateLikelihood } = await import('../evaluation/likelihood.js')
  const { likelihoodModel } = await import('../evaluation/likelihood-model.js')
  const line = new StatusLine()
  const startedAt = performance.now()
  await interruptible(
    async (signal) => {
      const stored = await readStored(path, flags)
      const place = flags.out ?? (await freeName(path, flags.method ?? 'ode'))
      await using _ = await OutputPlaces.open(
        [{ name: '--out', path: place, kind: 'file' }],
        [{ name: 'the run', path }],
      )
      using model = await Diffusion.load(stored.path, {
        ...(flags.device === undefined ? {} : { device: flags.device }),
        ...(flags.precision === undefined ? {} : { precision: flags.precision }),
        ...(flags.weights === undefined ? {} : { weights: weightsOf(flags.weights) }),
        trust: flags.trustTorchScript ?? false,
      })
      const kind = flags.method ?? (model.process.schedule.steps === undefined || model.image.columns ? 'ode' : 'vlb')
      const method = assign({ kind }, flags.set ?? [])
      const progress = (done: number, total: number): void =>
        line.show(() => `opening ${stored.data.kind}: ${count(done)} of ${count(total)}`)
      const dataSet = await openDataSet(stored.data, { signal, progress })
      try {
        const { precision, chunk } = flags
        const asked = likelihoodModel(model, dataSet, { withClass: flags.class, precision, chunk })
        const images = Math.min(flags.images, dataSet.length)
        const where = `${stored.split === null ? '' : `${stored.split} `}${examplesWord(dataSet)} of ${shapeText(dataSet)}`
        line.print(
          `${stored.name} at step ${count(model.step)}: ${kind} of ${count(images)} of ${count(dataSet.length)} ${where}, seed ${flags.seed}`,
        )
        const result = await evaluateLikelihood(asked, dataSet, {
          method: method as never,
          images,
          batch: flags.batch,
          seed: flags.seed,
          signal,
          onProgress: (one) => line.show(() => progressText(one, performance.now() - startedAt)),
        })
        line.clear()
        const protocol = {
          ...result.protocol,
          run: stored.name,
          split: stored.split,
          weights: flags.weights ?? 'default',
        }
        const seconds = (performance.now() - startedAt) / 1000
        // Named when all is done, so that no result replaces another.
        const file = flags.out ?? (await freeName(path, kind))
        const failure = await writeResult(file, { ...result, protocol, seconds }).catch((error: unknown) => ({ error }))
        // What may have taken hours is printed although it cannot be written.
        print({ ...result, protocol }, failure ? undefined : file, seconds, flags)
        if (failure) throw failure.error
      } finally {
        await dataSet.close()
      }
    },
    () => line.print('Stopping.'),
  ).finally(() => line.clear())
}

interface Stored {
  readonly path: string
  readonly name: string
  readonly data: DataSettings
  /** Null where the data is not split. */
  readonly split: string | null
}

/** The checkpoint, and the data that its run was trained on, in the split that was asked for. */
async function readStored(path: string, flags: LikelihoodFlags): Promise<Stored> {
  const { readCheckpoint } = await import('../checkpoints/checkpoint-folder.js')
  const { dataSchema, datasets } = await import('../datasets/list.js')
  const { parseOptions } = await import('../options/options.js')
  await using checkpoint = await readCheckpoint(path)
  const { name, data } = checkpoint.settings
  const trained = parseOptions(dataSchema, data, checkpoint.path)
  const hasSplit = 'split' in datasets[trained.kind].schema.shape
  if (flags.split !== undefined && !hasSplit) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The data set ${trained.kind} is not split, so there is no \`--split\` ${flags.split}. Leave it out, or point \`--data\` to other images.`,
    )
  }
  const split = hasSplit ? [{ path: ['split'], value: flags.split ?? 'test' }] : []
  const { startedInOf, withWholePaths } = await import('../training/started-in.js')
  const whole = await withWholePaths(trained, await startedInOf(path))
  const changed = assign(whole as Record<string, unknown>, [...split, ...(flags.data ?? [])])
  const settings = parseOptions(dataSchema, changed, 'the data set of the run and --data')
  return {
    path: checkpoint.path,
    name: typeof name === 'string' ? name : 'model',
    data: settings,
    split: 'split' in settings ? settings.split : null,
  }
}

function weightsOf(text: string): number | 'trained' {
  if (text === 'trained') return text
  return /^[0-9]+$/.test(text) ? Number(text) : (text as never)
}

function progressText({ done, images, bitsPerDimension }: LikelihoodProgress, milliseconds: number): string {
  const left = done > 0 ? ` · ${formatDuration(((images - done) / done) * (milliseconds / 1000))} left` : ''
  const soFar = Number.isNaN(bitsPerDimension) ? '' : ` · ${bitsPerDimension.toFixed(4)} bits/dim so far`
  return `${done.toFixed(1)} of ${count(images)} images${soFar}${left}`
}

/** `<run>/evaluation/likelihood-vlb-0001.json` with the first number that is free: no result replaces another. */
async function freeName(path: string, kind: string): Promise<string> {
  const folder = path.endsWith('.safetensors') ? 'evaluation' : join(path, 'evaluation')
  const taken = new Set(await readdir(folder).catch(() => [] as string[]))
  for (let number = 1; ; number++) {
    const name = `likelihood-${kind}-${String(number).padStart(4, '0')}.json`
    if (!taken.has(name)) return join(folder, name)
  }
}

async function writeResult(file: string, result: unknown): Promise<void> {
  const { writeAtomically } = await import('../files/atomic-write.js')
  await writeAtomically(file, new TextEncoder().encode(`${JSON.stringify(result, undefined, 2)}\n`))
}

type Reported = Omit<LikelihoodResult, 'protocol'> & { readonly protocol: object }

function print(result: Reported, file: string | undefined, seconds: number, flags: LikelihoodFlags): void {
  const { bitsPerDimension, standardError, details, protocol } = result
  if (flags.json) {
    printLine(JSON.stringify({ file: file ?? null, bitsPerDimension, standardError, details, protocol, seconds }))
    return
  }
  const error = standardError === null ? '' : ` ± ${standardError.toFixed(4)}`
  printLine(`${bitsPerDimension.toFixed(4)}${error} bits/dim`)
  for (const text of columns([...detailRows[details.kind](details as never), ...protocolRows(protocol)])) {
    printLine(`  ${text}`)
  }
  if (file !== undefined) printLine(file)
}

type Rows = readonly (readonly [string, string])[]

const detailRows = {
  vlb: ({ decoders, prior, terms }) => [
    ['decoder', `tanh ${decoders.tanh.toFixed(4)}, erf ${decoders.erf.toFixed(4)}`],
    ...(prior === null ? [] : [['prior', prior.toExponential(2)] as const]),
    ...(terms[0] ? [['at time 0', terms[0].bits.toFixed(4)] as const] : []),
  ],
  'continuous-vlb': ({ reconstruction, prior, diffusion }) => [
    ['reconstruction', reconstruction.toFixed(4)],
    ['prior', prior.toExponential(2)],
    ['diffusion', diffusion.toFixed(4)],
  ],
  ode: ({ evaluations, offset }) => [
    ['evaluations', `${evaluations.toFixed(1)} per image`],
    ['offset', `${offset.toFixed(4)} bits/dim`],
  ],
} as const satisfies {
  [Kind in LikelihoodDetails['kind']]: (details: Extract<LikelihoodDetails, { kind: Kind }>) => Rows
}

/** Everything that the number depends on, one line for each part. */
function protocolRows(protocol: object): Rows {
  return Object.entries(protocol).map(([name, value]) => [name, describe(value)])
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return value.join('×')
  if (typeof value !== 'object' || value === null) return value === null ? 'none' : String(value)
  return Object.entries(value)
    .map(([name, one]) => `${name} ${one === null ? 'none' : String(one)}`)
    .join(', ')
}
