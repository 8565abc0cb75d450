/** An update that is made: its numbers, and their way into the curves. */
import type { Batch } from '../datasets/batches.js'
import { seedNumber } from '../options/seed.js'
import { writeNonFiniteBatch } from './non-finite.js'
import type { OpenRun } from './open-run.js'
import type { SpeedEstimator } from './progress.js'
import type { TrainStep } from './train-step.js'
import type { UpdateReport } from './update.js'

export interface MadeUpdate {
  readonly values: Pick<TrainStep, 'step' | 'loss' | 'gradientNorm' | 'learningRate' | 'epoch' | 'skipped'>
  /** Of training so far. */
  readonly seconds: number
  /** Why it could not be noted. It is made all the same. */
  readonly failure: unknown
}

/** @throws DpmError DPM_NON_FINITE where the update was not made, naming the file with its batch. */
export async function requireFinite(run: OpenRun, step: number, batch: Batch, report: UpdateReport): Promise<void> {
  if (report.finite) return
  const { folder, process, settings, dataSet } = run
  throw await writeNonFiniteBatch({
    folder,
    step,
    batch,
    losses: report.losses,
    process,
    seed: seedNumber(settings.seed),
    image: dataSet,
  })
}

/** Notes update `step` in the journal, unless it was skipped, and what the data set has skipped until then. */
export async function noteUpdate(
  run: OpenRun,
  { step, seconds, learningRate }: { readonly step: number; readonly seconds: number; readonly learningRate: number },
  { epochFraction: epoch }: Batch,
  { loss, gradientNorm, skipped }: UpdateReport,
  speed: SpeedEstimator,
): Promise<MadeUpdate> {
  speed.report(step, seconds)
  const values = { step, loss, gradientNorm, learningRate, epoch }
  let failure: unknown
  try {
    if (!skipped) await run.journal?.note({ ...values, seconds, imagesPerSecond: speed.imagesPerSecond })
    await run.skipped.note(run.dataSet.corrupt)
  } catch (error) {
    failure = error
  }
  return { values: { ...values, skipped }, seconds, failure }
}
