/** How fast a run is, when it ends, and the line that says so. */

import type { CorruptExample } from '../datasets/data-set.js'
import { expected } from '../errors.js'

/** Reports over which the speed is taken: enough to even out, few enough to follow a change. */
const windowReports = 50
/** The first updates compile, allocate and fill caches; they say nothing about the rest. */
const slowSteps = 3

/**
 * The recent speed of a run. Time spent between updates on samples and checkpoints counts, as it will come again; the
 * first slow updates count only until there are others.
 */
export class SpeedEstimator {
  readonly #batch: number
  #reports: { readonly step: number; readonly seconds: number }[] = []
  #firstStep: number | undefined

  /** @param batch images per update. */
  constructor(batch: number) {
    this.#batch = batch
  }

  /**
   * Notes that an update has finished.
   * @param step finished updates; `seconds` on any clock that does not jump.
   */
  report(step: number, seconds: number): void {
    this.#firstStep ??= step
    this.#reports.push({ step, seconds })
    const warm = this.#reports.filter((report) => report.step >= (this.#firstStep ?? 0) + slowSteps)
    // Two warm reports make an interval; until then the slow ones are all there is.
    this.#reports = (warm.length >= 2 ? warm : this.#reports).slice(-windowReports)
  }

  /** Undefined until there are two reports. */
  get stepsPerSecond(): number | undefined {
    const [first, last] = [this.#reports[0], this.#reports.at(-1)]
    if (!first || !last || last.step <= first.step || last.seconds <= first.seconds) return undefined
    return (last.step - first.step) / (last.seconds - first.seconds)
  }

  get imagesPerSecond(): number | undefined {
    const steps = this.stepsPerSecond
    return steps === undefined ? undefined : steps * this.#batch
  }

  /** Seconds for so many more updates. */
  secondsFor(steps: number): number | undefined {
    const speed = this.stepsPerSecond
    return speed === undefined ? undefined : steps / speed
  }
}

/** `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'unknown'
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  // Rounded to the smaller unit first, so that 59.9 min is 1 h and never 60 min.
  if (whole < 3600) return pair(Math.floor(whole / 60), 'min', whole % 60, 's')
  const minutes = Math.round(whole / 60)
  if (minutes < 24 * 60) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'min')
  const hours = Math.round(whole / 3600)
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h')
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`
}

/** What a progress line may tell; what is undefined is left out. */
export interface ProgressValues {
  readonly step: number
  readonly total?: number | undefined
  readonly loss?: number | undefined
  readonly imagesPerSecond?: number | undefined
  readonly etaSeconds?: number | undefined
  /** Passes over the data so far; the pass under way counts. */
  readonly epoch?: number | undefined
  readonly epochs?: number | undefined
  /** Examples that could not be decoded and were replaced. */
  readonly skippedExamples?: number | undefined
}

/**
 * `step 1,200 of 10,000 (12 %) · epoch 3 of 25 · loss 0.03120 · 512 images/s · 1 h 12 min left`
 * @param width columns of the terminal: parts that do not fit are left out, the last first.
 */
export function progressLine(values: ProgressValues, width = Number.POSITIVE_INFINITY): string {
  if (typeof values !== 'object' || values === null) throw expected('an object of numbers', 'values', values)
  const { step, total, loss, imagesPerSecond, etaSeconds, epoch, epochs, skippedExamples } = values
  const parts = [
    total === undefined
      ? `step ${grouped(step)}`
      : `step ${grouped(step)} of ${grouped(total)} (${percent(step, total)} %)`,
    epoch === undefined ? '' : `epoch ${grouped(epoch)}${epochs === undefined ? '' : ` of ${grouped(epochs)}`}`,
    loss === undefined ? '' : `loss ${formatLoss(loss)}`,
    skippedExamples ? `${grouped(skippedExamples)} skipped` : '',
    imagesPerSecond === undefined ? '' : `${formatSpeed(imagesPerSecond)} images/s`,
    etaSeconds === undefined ? '' : `${formatDuration(etaSeconds)} left`,
  ].filter((part) => part !== '')
  while (parts.length > 1 && parts.join(' · ').length > width) parts.pop()
  return parts.join(' · ')
}

/** `3 examples could not be decoded and were skipped: a.jpg, b.jpg, c.jpg; the first because premature end`. */
export function describeSkipped(skipped: readonly CorruptExample[], shown = 3): string {
  const [first] = skipped
  if (!first) return ''
  const names = skipped.slice(0, shown).map(({ place }) => place)
  const more = skipped.length > shown ? ` and ${skipped.length - shown} more` : ''
  const what =
    skipped.length === 1
      ? '1 example could not be decoded and was'
      : `${skipped.length} examples could not be decoded and were`
  const because = skipped.length === 1 ? 'because' : 'the first because'
  return `${what} skipped: ${names.join(', ')}${more}; ${because}: ${first.reason}`
}

function grouped(count: number): string {
  const [whole = '', fraction] = String(Math.round(count * 100) / 100).split('.')
  const digits = whole.replace(/\B(?=(\d{3})+$)/g, ',')
  return fraction === undefined ? digits : `${digits}.${fraction}`
}

/** Rounded down: 100 % is said only at the end. */
function percent(step: number, total: number): number {
  return Math.min(100, Math.floor((100 * step) / total))
}

/** Four digits that count, in plain notation where that is readable. */
function formatLoss(loss: number): string {
  const size = Math.abs(loss)
  if (!Number.isFinite(loss) || loss === 0) return String(loss)
  return size >= 1e-4 && size < 1e5 ? loss.toPrecision(4) : loss.toExponential(3)
}

function formatSpeed(imagesPerSecond: number): string {
  return imagesPerSecond >= 10 ? grouped(Math.round(imagesPerSecond)) : imagesPerSecond.toPrecision(2)
}
