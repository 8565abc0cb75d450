/** `dpm-torch train`: trains a recipe into a run folder, goes on with a run, or says what a run will take. */
import { basename, join, relative } from 'node:path'
import { Command } from 'commander'
import { DpmError } from '../errors.js'
import { type Assignment, assign } from '../options/assign.js'
import { describeSkipped, formatDuration, progressLine } from '../training/progress.js'
import type { RunSettings } from '../training/run-options.js'
import type { TrainStep } from '../training/train-step.js'
import type { Trainer } from '../training/trainer.js'
import {
  type CommonFlags,
  choosesProgram,
  deviceFlag,
  jsonFlag,
  precisionFlag,
  seedFlag,
  setFlag,
  type TrustFlags,
  trustFlag,
  wholeNumber,
} from './flags.js'
import { Interruption, interruptible } from './interrupt.js'
import { printPlan } from './plan-table.js'
import { printLine } from './print-line.js'
import { RunningLoss } from './running-loss.js'
import { StatusLine } from './status-line.js'
import { count, examplesWord, shapeText } from './words.js'

interface TrainFlags extends CommonFlags, TrustFlags {
  readonly out?: string
  readonly set?: readonly Assignment[]
  readonly resume?: boolean
  readonly plan?: boolean
  readonly seed?: number | string
  readonly device?: string
  readonly precision?: string
  readonly threads?: number
}

const help = `
Examples:
  dpm-torch train sprites
  dpm-torch train sprites --set budget.minutes=10 --set training.batch=32 --out runs/short
  dpm-torch train sprites --resume                          go on where runs/sprites stopped
  dpm-torch train --resume --out runs/short --set budget.minutes=20
  dpm-torch train my-recipe.json --plan

A value of --set is JSON or else text; items of a list are reached by index (training.averaging.0.decay=0.999); with
nothing after the = an option is taken out. \`dpm-torch recipes --options\` lists all options.

Ctrl-C stops at once, and writes a checkpoint first, as an error and a closed terminal do; the second one does not wait
for it. What is printed then says how to go on.`

export function trainCommand(): Command {
  return new Command('train')
    .description('train a recipe, by name or from a JSON file, into a run folder')
    .argument('[recipe]', 'a name that `dpm-torch recipes` lists, or a .json file; not needed with --resume --out')
    .option('--out <folder>', 'the run folder (default: runs/<recipe>)')
    .addOption(setFlag('change an option of the recipe; may be given again'))
    .option('--resume', "go on with the folder's run from its latest checkpoint")
    .option('--plan', 'measure three steps, print what the whole run takes, and write nothing')
    .addOption(seedFlag('all randomness of the run is a function of it'))
    .addOption(deviceFlag())
    .addOption(precisionFlag())
    .addOption(trustFlag())
    .option('--threads <number>', 'processor threads of one operation', wholeNumber(1))
    .addOption(jsonFlag())
    .addHelpText('after', help)
    .action(run)
}

async function run(recipe: string | undefined, flags: TrainFlags): Promise<void> {
  const { settings, out } = await resolveRun(recipe, flags)
  const line = new StatusLine()
  const onOpen = (done: number, total: number): void => {
    if (done < total) line.show(() => `opening ${settings.data.kind}: ${count(done)} of ${count(total)}`)
  }
  if (flags.plan) {
    const { planRun } = await import('../training/plan.js')
    const onMeasure = (what: string): void => line.show(() => `${settings.name}: measuring ${what}`)
    const plan = await interruptible((signal) => planRun({ settings, out, signal, onOpen, onMeasure })).finally(() =>
      line.clear(),
    )
    if (flags.json) printLine(JSON.stringify({ out, ...plan }))
    else printPlan(settings, plan, out)
    return
  }
  const { Trainer } = await import('../training/trainer.js')
  let trains = false
  await interruptible(
    async (signal) => {
      const onWarning = (text: string): void => line.print(`warning: ${text}`)
      await using trainer = await Trainer.create({
        ...settings,
        out,
        resume: flags.resume ?? false,
        trust: true,
        signal,
        onOpen,
        onWarning,
      })
      trains = true
      await trainTo(trainer, out, flags, line, signal)
    },
    () => line.print(trains ? 'Stopping: a checkpoint is being written. Ctrl-C again exits at once.' : 'Stopping.'),
  ).finally(() => line.clear())
}

/** The run's complete settings and its folder, from recipe or run and flags. @throws DpmError DPM_INVALID_OPTION … */
async function resolveRun(
  recipe: string | undefined,
  flags: TrainFlags,
): Promise<{ readonly settings: RunSettings; readonly out: string }> {
  const { readRecipe } = await import('../training/recipes.js')
  const { runOptions } = await import('../training/run-options.js')
  const { RunFolder } = await import('../training/run-folder.js')
  const out = flags.out ?? (recipe === undefined ? undefined : join('runs', basename(recipe, '.json')))
  if (out === undefined || (recipe === undefined && !flags.resume)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      'Expected a recipe: a name that `dpm-torch recipes` lists, or a .json file. With --resume, --out alone says which run.',
    )
  }
  const base = flags.resume ? (await RunFolder.open(out)).config : readRecipe(recipe ?? '')
  const { seed, device, precision, threads } = flags
  const given = Object.entries({ seed, device, precision, threads }).filter(([, value]) => value !== undefined)
  const changes = [...given.map(([name, value]) => ({ path: [name], value })), ...(flags.set ?? [])]
  const place = `${flags.resume ? join(out, 'config.json') : `recipe ${recipe}`}${flags.set ? ' with --set' : ''}`
  const settings = runOptions.parse(assign(base as Readonly<Record<string, unknown>>, changes), place)
  // Of what is trained on, the folder's own file says which module it is; a plan begins as a new run.
  const { readyNetwork, requireTrust } = await import('../networks/program-file.js')
  requireTrust(settings.network, flags.trustTorchScript || choosesProgram(flags.set), place)
  if (!flags.plan) return { settings, out }
  return { settings: { ...settings, network: await readyNetwork(settings.network, [out]) }, out }
}

async function trainTo(
  trainer: Trainer,
  out: string,
  flags: TrainFlags,
  line: StatusLine,
  signal: AbortSignal,
): Promise<void> {
  const first = trainer.step
  const startedAt = performance.now()
  line.print(describeStart(trainer, out, first))
  const { drawsPreviews } = await import('../training/previews.js')
  const loss = new RunningLoss()
  const onStep = (step: TrainStep): void => {
    loss.add(step.loss)
    line.show((width) => progressLine({ ...step, total: step.totalSteps, loss: loss.mean }, width))
    for (const path of step.written) line.print(`step ${count(step.step)}: wrote ${shown(path)}`)
    if (step.fraction >= 1 && drawsPreviews(trainer.settings)) line.print('Drawing the last pictures.')
  }
  try {
    const { step, written } = await trainer.train({ signal, onStep })
    const seconds = (performance.now() - startedAt) / 1000
    await printEnd(trainer, { out, first, step, written, seconds, loss: loss.mean }, flags, line)
  } catch (error) {
    await printStop(trainer, out, line, error)
    throw error
  }
}

function describeStart(trainer: Trainer, out: string, first: number): string {
  const { settings, dataSet, device, size, totalSteps } = trainer
  const { batch } = settings.training
  const classes = dataSet.classes.length > 0 ? ` in ${count(dataSet.classes.length)} classes` : ''
  const length = totalSteps === undefined ? `${settings.budget.minutes} minutes` : `${count(totalSteps)} steps`
  const from = first > 0 ? `, from step ${count(first)} on` : ''
  return (
    `${settings.name}: ${count(dataSet.length)} ${examplesWord(dataSet)} of ${shapeText(dataSet)}${classes}; ` +
    `${count(size)} parameters; ${length} of ${count(batch)} ${examplesWord(dataSet)}${from}; ${device}, ${settings.precision}; into ${out}`
  )
}

interface RunEnd {
  readonly out: string
  readonly first: number
  readonly step: number
  readonly written: readonly string[]
  readonly seconds: number
  readonly loss: number | undefined
}

async function printEnd(trainer: Trainer, end: RunEnd, flags: TrainFlags, line: StatusLine): Promise<void> {
  const { out, first, step, written, seconds, loss } = end
  const checkpoint = await latestCheckpoint(trainer)
  const pictures = written.filter((path) => path !== checkpoint)
  line.clear()
  if (flags.json) {
    const skipped = trainer.skipped.length
    printLine(JSON.stringify({ out, step, steps: step - first, seconds, loss, skipped, checkpoint, pictures }))
    return
  }
  if (step === first) {
    printLine(
      `Nothing is left to train: all ${count(step)} steps of the budget are done. For more: --resume --set budget.steps=${2 * step}`,
    )
  } else printLine(`Trained ${count(step - first)} steps in ${formatDuration(seconds)}.`)
  if (trainer.skipped.length > 0) printLine(skippedText(trainer))
  if (checkpoint !== undefined) printLine(`  checkpoint  ${shown(checkpoint)}`)
  for (const [index, path] of pictures.entries()) {
    printLine(`  ${index === 0 ? 'pictures' : '        '}    ${shown(path)}`)
  }
  printLine(`Draw ${examplesWord(trainer.dataSet)} from it: npx dpm-torch sample ${quoted(out)}`)
}

/** What became of a run that an error or a signal ended, and the command that goes on with it. */
async function printStop(trainer: Trainer, out: string, line: StatusLine, error: unknown): Promise<void> {
  const { stopped, step } = trainer
  if (!stopped) return
  const checkpoint = await latestCheckpoint(trainer)
  if (step === 0) {
    line.print('Stopped before the first update: there is nothing to go on from.')
    return
  }
  line.print(
    `Stopped after step ${count(step)}: ${checkpoint === undefined ? 'no checkpoint yet' : shown(checkpoint)}.`,
  )
  const isInterrupted = error instanceof DpmError && error.cause instanceof Interruption
  if (isInterrupted && stopped.failure !== undefined) line.print(`error: ${error.message}`)
  if (trainer.skipped.length > 0) line.print(skippedText(trainer))
  const changes = Object.entries(stopped.cure).map(([path, value]) => ` --set ${path}=${value}`)
  line.print(`Go on with: npx dpm-torch train --resume --out ${quoted(out)}${changes.join('')}`)
}

function skippedText({ skipped, folder }: Trainer): string {
  const near = skipped.map((one) => ({ ...one, place: shown(one.place) }))
  return `${describeSkipped(near)}${folder ? ` (all are in ${shown(folder.skipped)})` : ''}`
}

async function latestCheckpoint(trainer: Trainer): Promise<string | undefined> {
  const { findLatest } = await import('../checkpoints/checkpoint-folder.js')
  return trainer.folder && findLatest(trainer.folder.checkpoints)
}

/** A path as it is shortest from here. */
function shown(path: string): string {
  const near = relative('.', path)
  return near.startsWith('..') ? path : near
}

function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
