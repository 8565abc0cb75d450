/** How far a setup is, in bytes, and how long it will still take. */

export interface SetupProgress {
  readonly stage: 'download' | 'unpack'
  /** What is being downloaded or unpacked, e.g. the file's name. */
  readonly name: string
  readonly doneBytes: number
  /** Null while the source has not said. */
  readonly totalBytes: number | null
  /** Seconds until `totalBytes` at the rate of the last ten seconds; null when unknown. */
  readonly remainingSeconds: number | null
}

export type ReportProgress = (progress: SetupProgress) => void

const windowMilliseconds = 10_000
const reportMilliseconds = 250

/** Turns counts of bytes into reports, at most four a second and one at the end. */
export class ProgressMeter {
  readonly #stage: SetupProgress['stage']
  readonly #name: string
  readonly #report: ReportProgress | undefined
  readonly #now: () => number
  #samples: { readonly at: number; readonly bytes: number }[] = []
  #reportedAt = Number.NEGATIVE_INFINITY
  doneBytes = 0
  totalBytes: number | null

  constructor(
    stage: SetupProgress['stage'],
    name: string,
    totalBytes: number | null,
    report: ReportProgress | undefined,
    now: () => number = () => performance.now(),
  ) {
    this.#stage = stage
    this.#name = name
    this.totalBytes = totalBytes
    this.#report = report
    this.#now = now
  }

  add(bytes: number): void {
    this.set(this.doneBytes + bytes)
  }

  set(doneBytes: number): void {
    this.doneBytes = doneBytes
    const at = this.#now()
    const complete = this.totalBytes !== null && doneBytes >= this.totalBytes
    if (!complete && at - this.#reportedAt < reportMilliseconds) return
    this.#reportedAt = at
    this.#samples = [
      ...this.#samples.filter((sample) => at - sample.at <= windowMilliseconds),
      { at, bytes: doneBytes },
    ]
    this.#report?.({
      stage: this.#stage,
      name: this.#name,
      doneBytes,
      totalBytes: this.totalBytes,
      remainingSeconds: this.#remaining(at),
    })
  }

  #remaining(at: number): number | null {
    const first = this.#samples[0]
    if (this.totalBytes === null || first === undefined || at <= first.at) return null
    const bytesPerSecond = ((this.doneBytes - first.bytes) / (at - first.at)) * 1000
    return bytesPerSecond > 0 ? Math.max(0, (this.totalBytes - this.doneBytes) / bytesPerSecond) : null
  }
}

/** Bytes for people: `539 MB`, `1.8 GB` (powers of ten, as download pages count). */
export function showBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`
  if (bytes >= 1e6) return `${Math.round(bytes / 1e6)} MB`
  return `${Math.ceil(bytes / 1e3)} kB`
}

/** One line for people: `download torch-2.15.0.whl  312 of 539 MB, 24 s left`. */
export function showProgress(progress: SetupProgress): string {
  const { stage, name, doneBytes, totalBytes, remainingSeconds } = progress
  const amount = totalBytes === null ? showBytes(doneBytes) : `${showBytes(doneBytes)} of ${showBytes(totalBytes)}`
  const left = remainingSeconds === null ? '' : `, ${Math.ceil(remainingSeconds)} s left`
  return `${stage} ${name}  ${amount}${left}`
}
