/** Opens a run, new or resumed, in the order in which things may be refused: nothing is left behind when one is. */
import { Checkpoint } from '../checkpoints/checkpoint.js'
import { findResumable } from '../checkpoints/checkpoint-folder.js'
import type { JsonObject } from '../checkpoints/migrations.js'
import type { DataSet } from '../datasets/data-set.js'
import { openDataSet } from '../datasets/list.js'
import { createProcess, type DiffusionProcess } from '../diffusion/diffusion-options.js'
import { isLearned } from '../diffusion/posterior.js'
import { requireTrainable } from '../diffusion/trainable.js'
import { DpmError, throwIfAborted } from '../errors.js'
import type { Condition } from '../generation/conditions/condition.js'
import { conditionedNetwork, createCondition } from '../generation/conditions/list.js'
import { restoreLearned } from '../generation/learned-tensors.js'
import { call } from '../native/call.js'
import { resolveDevice } from '../native/device.js'
import { knownClasses, requireProcess } from '../networks/list.js'
import { Network } from '../networks/network.js'
import { carryProgram, withProgramOf } from '../networks/program-file.js'
import { averagingRemarks } from './averaging.js'
import { type Budget, createBudget } from './budget.js'
import { createLearningRate, type LearningRate } from './learning-rate.js'
import { requirePreviews } from './previews.js'
import { RunFolder } from './run-folder.js'
import { RunJournal } from './run-journal.js'
import type { RunSettings } from './run-options.js'
import { SkippedExamples } from './skipped-examples.js'
import { removeLaterSnapshots, requirePowerAverages } from './snapshots.js'
import { startedHere, withWholePaths } from './started-in.js'
import { requireSameData, TrainState } from './train-state.js'
import {
  newSettings,
  requireMicroBatch,
  resumedSettings,
  splitOptions,
  type TrainerOptions,
} from './trainer-options.js'
import { requireVectors } from './vector-run.js'

/** What training needs, and closes: data set, state, folder and journal. */
export interface OpenRun {
  readonly settings: RunSettings
  readonly process: DiffusionProcess
  readonly dataSet: DataSet
  readonly condition: Condition | undefined
  readonly folder: RunFolder | undefined
  readonly journal: RunJournal | undefined
  readonly skipped: SkippedExamples
  /** `cpu` or `cuda:N`. */
  readonly device: string
  readonly state: TrainState
  readonly budget: Budget
  readonly learningRate: LearningRate
  readonly warn: (message: string) => void
  /** @throws what the caller's `onWarning` threw or rejected with. */
  readonly requireTold: () => void
  /** Updates that are made, and the seconds that they took. */
  readonly step: number
  readonly seconds: number
  /** The checkpoint that the run goes on from; undefined of a new one. */
  readonly checkpoint: string | undefined
}

/** What must be closed where a later part fails. */
interface Parts {
  folder?: RunFolder
  dataSet?: DataSet
  state?: TrainState
  network?: Network
  journal?: RunJournal
}

/** @throws DpmError as `Trainer.create` says. */
export async function openRun(options: TrainerOptions): Promise<OpenRun> {
  const parts: Parts = {}
  try {
    return await open(options, parts)
  } catch (error) {
    await parts.journal?.close().catch(() => undefined)
    if (parts.state) parts.state.dispose()
    else parts.network?.dispose()
    await parts.dataSet?.close()
    await parts.folder?.discard()
    parts.folder?.close()
    throw error
  }
}

function warnOfProcess(message: string): void {
  process.emitWarning(message, 'DpmWarning')
}

async function open(options: TrainerOptions, parts: Parts): Promise<OpenRun> {
  const { place, rest } = splitOptions(options)
  const { out, resume = false, signal, onOpen, onWarning = warnOfProcess } = place
  const { warn, requireTold } = tellWarnings(onWarning)
  if (resume && out === undefined)
    throw new DpmError('DPM_INVALID_OPTION', '`resume` needs `out`: the folder of the run to go on with.')
  // Refuse a bad option before a folder is made, and a folder in use before any data is read.
  const fresh = resume ? undefined : newSettings(rest)
  if (fresh) {
    requireTrainable(fresh.diffusion)
    requireProcess(fresh.network, fresh.diffusion)
    requireMicroBatch(fresh.training)
  }
  if (out !== undefined && resume) parts.folder = await RunFolder.resume(out)
  else if (out !== undefined) await RunFolder.refuseUsed(out)
  // Whether there is anything to go on from, too.
  const latest = parts.folder && (await findResumable(parts.folder.checkpoints, warn))
  let settings = placed(fresh ?? resumedSettings(parts.folder, rest), out)
  const process = createProcess(settings.diffusion)
  requirePowerAverages(settings.training.averaging, settings.checkpoints.snapshots.everySteps)
  const device = await resolveDevice(settings.device)
  const dataSet = await openDataSet(
    await withWholePaths(settings.data, { startedIn: settings.startedIn, run: out }, warn),
    { signal, progress: onOpen },
  )
  parts.dataSet = dataSet
  for (const remark of dataSet.remarks ?? []) warn(remark)
  requireVectors(settings, dataSet)
  requirePreviews(settings, dataSet)
  const { batch } = settings.training
  const budget = createBudget(settings.budget, { batch, dataSetLength: dataSet.length })
  const { averaging } = settings.training
  if (fresh) for (const remark of averagingRemarks(averaging, { batch, totalSteps: budget.totalSteps })) warn(remark)
  const learningRate = createLearningRate(settings.training.learningRate, budget.totalSteps, dataSet.length / batch)
  if (settings.threads !== null) await call(undefined, (binding) => binding.setThreads(settings.threads ?? 1))
  const classes = knownClasses(settings.network, dataSet.classes)
  const condition = createCondition(settings.condition, dataSet)
  parts.network = await Network.build(conditionedNetwork(settings.network, condition), {
    image: dataSet,
    classes: classes.length,
    outputs: isLearned(settings.diffusion.variance) ? 2 : 1,
    seed: settings.seed,
    device,
    near: parts.folder ? [parts.folder.path] : [],
  })
  const network = withProgramOf(settings.network, parts.network.settings, !resume)
  if (network !== settings.network) settings = { ...settings, network }
  const state = await TrainState.create(parts.network, settings)
  parts.state = state
  throwIfAborted(signal)

  let [step, seconds] = [0, 0]
  let journalState: unknown
  if (parts.folder) {
    if (latest === undefined) warn(`${parts.folder.path} has no checkpoint yet: the run begins anew.`)
    else {
      await using checkpoint = await Checkpoint.open(latest)
      requireSameData(checkpoint, dataSet, classes.length > 0)
      await state.restore(checkpoint, warn)
      await restoreLearned(checkpoint, process.learners)
      step = checkpoint.step
      seconds = Number(checkpoint.progress['seconds'] ?? 0)
      journalState = checkpoint.progress['journal']
    }
    await removeLaterSnapshots(parts.folder.path, step)
    await parts.folder.writeConfig(settings as unknown as JsonObject)
  } else if (out !== undefined) {
    parts.folder = await RunFolder.create(out, settings as unknown as JsonObject)
  }
  const { folder } = parts
  if (folder) await carryProgram(parts.network.settings, folder.path)
  if (folder)
    parts.journal = await RunJournal.open(folder, settings.log, resume ? { step, state: journalState } : undefined)
  const skipped = await SkippedExamples.open(folder?.skipped)
  const { journal } = parts
  requireTold()
  const known = { settings, process, dataSet, condition, device, budget, learningRate, warn, requireTold }
  return { ...known, folder, journal, skipped, state, step, seconds, checkpoint: latest }
}

/** A warning ends nothing where it is told; what the caller's function throws or rejects with comes out at the next step. */
function tellWarnings(onWarning: (message: string) => unknown): Pick<OpenRun, 'warn' | 'requireTold'> {
  const failures: { readonly error: unknown }[] = []
  return {
    warn: (message) => {
      try {
        Promise.resolve(onWarning(message)).catch((error: unknown) => failures.push({ error }))
      } catch (error) {
        failures.push({ error })
      }
    },
    requireTold: () => {
      const [first] = failures.splice(0)
      if (first) throw first.error
    },
  }
}

/** A run in a folder keeps where it was started; one of 0.1.0 learns it when it goes on. */
function placed(settings: RunSettings, out: string | undefined): RunSettings {
  return out === undefined || settings.startedIn ? settings : { ...settings, startedIn: startedHere(out) }
}
