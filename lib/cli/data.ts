/** `dpm-torch data`: opens a data set as training would, says what is in it, and shows some of it. */
import { Command } from 'commander'
import type { DataSet } from '../datasets/data-set.js'
import type { DataSettings } from '../datasets/list.js'
import type { InputPlace } from '../files/output-places.js'
import { type Assignment, assign } from '../options/assign.js'
import { seedNumber } from '../options/seed.js'
import { type CommonFlags, jsonFlag, seedFlag, setFlag, wholeNumber } from './flags.js'
import { interruptible } from './interrupt.js'
import { printLine } from './print-line.js'
import { StatusLine } from './status-line.js'
import { columns, count, examplesWord, shapeText } from './words.js'

interface DataFlags extends CommonFlags {
  readonly set?: readonly Assignment[]
  readonly recipe?: boolean
  readonly check?: boolean
  readonly out?: string
  readonly count: number
  readonly seed: number | string
}

/** More than this are decoded only when asked: it may take long. */
const checkedLength = 20_000

const help = `
Examples:
  dpm-torch data emoji --out emoji.png
  dpm-torch data image-folder --set folder=pictures --set size=64 --check
  dpm-torch data ddpm-cifar10 --set path=/data/cifar10`

export function dataCommand(): Command {
  return new Command('data')
    .description('open a data set, count it, check it, and show some of it')
    .argument('<name>', "a kind of data set (emoji, idx, cifar10, image-folder, …), or a recipe's name or .json file")
    .addOption(setFlag('an option of the data set, such as folder=pictures; may be given again'))
    .option('--recipe', 'take the name as that of a recipe, where there is a data set of that name too')
    .option('--check', `decode every example, also when there are more than ${count(checkedLength)}`)
    .option('--out <picture>', 'draw some of the examples into a .png, .jpg or .webp file')
    .option('--count <number>', 'how many of them', wholeNumber(1), 64)
    .addOption(seedFlag('which of them').default(0))
    .addOption(jsonFlag())
    .addHelpText('after', help)
    .action(run)
}

async function run(name: string, flags: DataFlags): Promise<void> {
  const { openDataSet } = await import('../datasets/list.js')
  const { imageFormatOf } = await import('../images/encode.js')
  const { OutputPlaces } = await import('../files/output-places.js')
  if (flags.out !== undefined) imageFormatOf(flags.out, '--out')
  const settings = await resolveData(name, flags)
  const place = flags.out === undefined ? [] : [{ name: '--out', path: flags.out, kind: 'file' } as const]
  await using _ = await OutputPlaces.open(place, await inputsOf(settings))
  const line = new StatusLine()
  const progress = (what: string) => (done: number, total: number) =>
    line.show(() => `${what} ${settings.kind}: ${count(done)} of ${count(total)}`)
  await interruptible(
    async (signal) => {
      const dataSet = await openDataSet(settings, { signal, progress: progress('opening') })
      try {
        if (flags.out !== undefined) await requireRoom(dataSet, flags.out, flags)
        const isChecked = flags.check === true || dataSet.length <= checkedLength
        if (isChecked) await readAll(dataSet, signal, progress('reading'))
        line.clear()
        print(dataSet, settings, isChecked, flags)
        if (flags.out !== undefined) {
          await drawExamples(dataSet, flags.out, flags)
          if (!flags.json) printLine(`  picture     ${flags.out}`)
        }
      } finally {
        await dataSet.close()
      }
    },
    () => line.print('Stopping.'),
  ).finally(() => line.clear())
}

/** Files that the settings name are read, and in a folder of pictures whatever lies there. */
async function inputsOf(settings: DataSettings): Promise<InputPlace[]> {
  const { stat } = await import('node:fs/promises')
  const named = Object.entries(settings).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  const found = await Promise.all(
    named.map(async ([option, path]): Promise<InputPlace[]> => {
      const entry = await stat(path).catch(() => undefined)
      const isWhole = entry?.isDirectory() === true && settings.kind === 'image-folder'
      return entry?.isFile() || isWhole
        ? [{ name: `the data (${option})`, path, kind: isWhole ? 'closed' : 'run' }]
        : []
    }),
  )
  return found.flat()
}

/** Before all is read: whether as many examples fit into the picture. */
async function requireRoom(dataSet: DataSet, path: string, flags: DataFlags): Promise<void> {
  if (dataSet.columns) return
  const { requireGridFits } = await import('../images/grid.js')
  const { imageFormatOf } = await import('../images/encode.js')
  const { channels, height, width, length } = dataSet
  requireGridFits([Math.min(flags.count, length), channels, height, width], {}, imageFormatOf(path), '--count')
}

/** A kind of data set comes first; a recipe's data next. Corrupt pictures are counted here, not fatal. */
async function resolveData(name: string, flags: DataFlags): Promise<DataSettings> {
  const { dataSchema, datasets } = await import('../datasets/list.js')
  const { nearest, parseOptions } = await import('../options/options.js')
  const { readRecipe, recipeNames } = await import('../training/recipes.js')
  const { expected } = await import('../errors.js')
  const kinds = Object.keys(datasets)
  const isKind = flags.recipe !== true && kinds.includes(name)
  if (!isKind && !name.endsWith('.json') && !recipeNames().includes(name)) {
    const near = nearest(name, [...kinds, ...recipeNames()])
    throw expected(
      `a data set (${kinds.join(', ')}) or a recipe (${recipeNames().join(', ')})`,
      'name',
      name,
      near === undefined ? '' : `Did you mean "${near}"?`,
      'DPM_INVALID_OPTION',
    )
  }
  const base = isKind ? { kind: name } : readRecipe(name).data
  const lenient = base.kind === 'image-folder' ? [{ path: ['corrupt'], value: 'skip' }] : []
  const changes = [...lenient, ...(flags.set ?? [])]
  return parseOptions(dataSchema, assign(base as Record<string, unknown>, changes), `data set ${name}`)
}

async function readAll(
  dataSet: DataSet,
  signal: AbortSignal,
  progress: (done: number, total: number) => void,
): Promise<void> {
  const { channels, height, width, length } = dataSet
  const size = channels * height * width
  const { roomFor } = await import('../datasets/memory-data-set.js')
  const atOnce = Math.max(1, Math.min(256, Math.floor(64_000_000 / size)))
  for (let begin = 0; begin < length; begin += atOnce) {
    const indices = Array.from({ length: Math.min(atOnce, length - begin) }, (_, i) => begin + i)
    await dataSet.read(indices, roomFor(dataSet, indices.length), signal)
    progress(begin + indices.length, length)
  }
}

function print(dataSet: DataSet, settings: DataSettings, isChecked: boolean, flags: DataFlags): void {
  const { name, length, classes, corrupt, remarks = [], reading = [], passedOver = [] } = dataSet
  const counts = new Array<number>(classes.length).fill(0)
  if (classes.length > 0) {
    for (let index = 0; index < length; index++) {
      const one = dataSet.classOf(index)
      counts[one] = (counts[one] ?? 0) + 1
    }
  }
  if (flags.json) {
    const { channels, height, width } = dataSet
    const byClass = classes.map((label, index) => ({ name: label, count: counts[index] }))
    printLine(
      JSON.stringify({
        name,
        length,
        channels,
        height,
        width,
        classes: byClass,
        checked: isChecked,
        corrupt,
        passedOver,
        reading,
        columns: dataSet.columns?.names,
        remarks,
        settings,
      }),
    )
    return
  }
  printLine(
    `${name}: ${count(length)} ${examplesWord(dataSet)} of ${shapeText(dataSet)}, ${classes.length === 0 ? 'no classes' : `${count(classes.length)} classes`}`,
  )
  for (const sentence of reading) printLine(`  ${sentence}`)
  if (dataSet.columns) printLine(`  columns     ${listed(dataSet.columns.names)}`)
  const labels = classes.map((label, index) => [`${index}`, label, count(counts[index] ?? 0)])
  for (const line of columns(labels)) printLine(`  ${line}`)
  if (!isChecked) printLine('  not every example was decoded; --check does')
  else
    printLine(corrupt.length === 0 ? '  every example can be decoded' : `  ${count(corrupt.length)} cannot be decoded:`)
  for (const { place, reason } of corrupt.slice(0, 20)) printLine(`    ${place}: ${reason}`)
  if (corrupt.length > 20) printLine(`    … and ${count(corrupt.length - 20)} more`)
  for (const remark of remarks) printLine(`  ${remark}`)
}

/** No more names than a screen has room for. */
function listed(names: readonly string[]): string {
  const most = 20
  return `${names.slice(0, most).join(', ')}${names.length > most ? ` … and ${count(names.length - most)} more` : ''}`
}

/** Examples chosen by the seed, each at most once. */
async function drawExamples(dataSet: DataSet, path: string, flags: DataFlags): Promise<void> {
  if (dataSet.columns) {
    const { Vectors } = await import('../generation/vectors.js')
    const vectors = await Vectors.first(dataSet, flags.count)
    return await (await vectors.plot(undefined, 'data')).toFile(path)
  }
  const { Images } = await import('../images/image-batch.js')
  const { batchOrder } = await import('../datasets/batches.js')
  const { roomFor } = await import('../datasets/memory-data-set.js')
  const { channels, height, width, length } = dataSet
  const shown = Math.min(flags.count, length)
  const indices = [...batchOrder(length, shown, seedNumber(flags.seed), 0).indices]
  const pixels = roomFor(dataSet, shown)
  if (!(pixels instanceof Uint8Array)) return
  await dataSet.read(indices, pixels)
  await new Images(pixels, [shown, channels, height, width]).grid().toFile(path)
}
