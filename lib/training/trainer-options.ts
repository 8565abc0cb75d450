/** What a caller of `Trainer.create` may write, and the settings that come of it. */
import { resolve } from 'node:path'
import type { OpenProgress } from '../datasets/data-set.js'
import { DpmError, expected } from '../errors.js'
import { namesProgram, requireTrust } from '../networks/program-file.js'
import { type Checks, checks, readOptions } from '../options/call-options.js'
import { nearest } from '../options/options.js'
import { showName } from '../show.js'
import { overlay, readRecipe } from './recipes.js'
import type { RunFolder } from './run-folder.js'
import { type RunOptions, type RunSettings, runOptions, runSchema } from './run-options.js'
import { withChangedPathsWhole } from './started-in.js'

export interface TrainerPlace {
  /** The run folder; without one nothing is written. */
  readonly out?: string
  /** Goes on with the run in `out` from its latest checkpoint; options are then laid over that run's own. */
  readonly resume?: boolean
  /**
   * Whether a TorchScript module that the run in `out` or a recipe file names may be run; false when absent. A module is a program,
   * which can read and write files. One that these options name themselves (`network.file`) is your own choice, and needs none.
   */
  readonly trust?: boolean
  readonly signal?: AbortSignal | undefined
  /** While the data set is opened. */
  readonly onOpen?: OpenProgress
  /** What was odd but could be mended; `process.emitWarning` when absent. */
  readonly onWarning?: (message: string) => void
}

export type Partially<Value> = Value extends readonly unknown[]
  ? Value
  : Value extends object
    ? { readonly [Key in keyof Value]?: Partially<Value[Key]> }
    : Value

/** A recipe by name or file with changes laid over it, or complete run options; and the place. */
export type TrainerOptions = TrainerPlace &
  (
    | ({ readonly recipe: string } & Partially<RunOptions>)
    | RunOptions
    | ({ readonly resume: true; readonly out: string } & Partially<RunOptions>)
  )

/** `trust` is about what the other options name, and stays with them. */
type Place = Omit<TrainerPlace, 'trust'>

const placeChecks: Checks<Place> = {
  out: checks.text,
  resume: checks.flag,
  signal: checks.signal,
  onOpen: checks.callback,
  onWarning: checks.callback,
}

/** The place of a run, checked, and what else a caller wrote. @throws DpmError DPM_INVALID_OPTION */
export function splitOptions(options: TrainerOptions): {
  readonly place: Place
  readonly rest: Readonly<Record<string, unknown>>
} {
  if (!checks.object.fits(options)) {
    throw expected('an object of options', 'Trainer.create', options, '', 'DPM_INVALID_OPTION')
  }
  const { out, resume, signal, onOpen, onWarning, ...rest } = options as unknown as Record<string, unknown>
  for (const name of Object.keys(rest)) {
    const near =
      Object.hasOwn(runSchema.shape, name) || ['recipe', 'trust'].includes(name)
        ? undefined
        : nearest(name, Object.keys(placeChecks))
    if (near === undefined || nearest(name, Object.keys(runSchema.shape)) !== undefined) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Unknown option \`${showName(name)}\`. Did you mean \`${near}\`?\n(in Trainer.create)`,
    )
  }
  const given = { out, resume, signal, onOpen, onWarning } as Place
  return { place: readOptions('Trainer.create', given, placeChecks), rest }
}

/** @throws DpmError DPM_INVALID_OPTION for parts that are larger than the whole. */
export function requireMicroBatch({ batch, microBatch }: RunSettings['training']): void {
  if (microBatch === null || microBatch <= batch) return
  throw expected(
    `at most the ${batch} images of \`training.batch\``,
    'training.microBatch',
    microBatch,
    'It is the part of a batch that is in memory at a time. Leave it out, or take a larger batch.',
    'DPM_INVALID_OPTION',
  )
}

/**
 * Complete settings of a new run.
 * @throws DpmError DPM_INVALID_OPTION, also for an unknown recipe; DPM_NOT_TRUSTED where a recipe file names a TorchScript module.
 */
export function newSettings(options: Record<string, unknown>): RunSettings {
  const { recipe, trust, ...changes } = options
  if (recipe === undefined) return runOptions.parse(changes, 'Trainer.create')
  if (typeof recipe !== 'string')
    throw new DpmError('DPM_INVALID_OPTION', 'Expected the name or file of a recipe for `recipe`.')
  const laid = overlay(readRecipe(recipe) as unknown as Record<string, unknown>, changes)
  const settings = runOptions.parse(laid, `recipe ${recipe}`)
  requireTrust(settings.network, trust === true || namesProgram(changes['network']), recipe)
  return settings
}

/** What a run keeps for life: with another of these, its weights or the order of its data would mean something else. */
const fixedParts = ['network', 'diffusion', 'condition', 'seed'] as const

/**
 * Settings of a run that goes on: its own, with changes laid over them.
 * @throws DpmError DPM_INVALID_OPTION, DPM_NOT_TRUSTED where the run has a TorchScript module
 */
export function resumedSettings(folder: RunFolder | undefined, options: Record<string, unknown>): RunSettings {
  const { recipe: _, trust, ...changes } = options
  const config = (folder?.config ?? {}) as Record<string, unknown>
  const place = resolve(folder?.path ?? '.', 'config.json')
  const before = runOptions.parse(config, place)
  const given = runOptions.parse(overlay(config, changes), place)
  const after = { ...given, data: withChangedPathsWhole(before.data, given.data), startedIn: before.startedIn }
  requireTrust(after.network, trust === true || namesProgram(changes['network']), place)
  const changed: string[] = fixedParts.filter((part) => JSON.stringify(before[part]) !== JSON.stringify(after[part]))
  if (before.training.batch !== after.training.batch) changed.push('training.batch')
  if (changed.length === 0) return after
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `A resumed run keeps its ${changed.join(', ')}: the run in ${folder?.path} has others. Begin a new run in another folder for that (a smaller memory need is \`training.microBatch\`).`,
  )
}
