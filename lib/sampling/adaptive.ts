/**
 * What a sampler gets that decides on its steps while it runs: a batch of which every sample stands at a level of its own.
 * State is float64 on the JavaScript side; only the network is asked elsewhere.
 */
import type { Level, Schedule } from '../diffusion/schedule.js'
import { DpmError } from '../errors.js'
import type { AdaptiveSampler } from './define-sampler.js'
import type { RecordContext } from './recorder.js'
import type { ReferenceStep } from './reference-executor.js'
import type { Denoiser } from './sample.js'

export interface AdaptiveProblem {
  readonly schedule: Schedule
  /** The noisiest level first, the clean one last; those between are for the solver to take or leave. */
  readonly levels: readonly Level[]
  /** x at the first level, N × elements; the solver's own. */
  readonly x: Float64Array<ArrayBuffer>
  /** Number of samples. */
  readonly count: number
  /**
   * The clean image of each sample at its own level, guided and clipped as the run asks.
   * @param x N × elements of the samples asked about
   * @param levels N
   * @param samples which samples these are, 0 … count-1
   */
  denoise(x: Float64Array, levels: readonly Level[], samples: readonly number[]): Promise<Float64Array>
  readonly signal: AbortSignal | undefined
}

export interface AdaptiveStep {
  readonly x: Float64Array
  readonly clean: Float64Array
  /** Share of the way from the first level to the last, 0 … 1, of the sample that is furthest behind. */
  readonly fraction: number
}

/** Runs an adaptive sampler with denoisers written in JavaScript. */
export async function* solveAdaptive(
  definition: AdaptiveSampler,
  _settings: unknown,
  _context: RecordContext,
  _run: {
    readonly x: Float64Array<ArrayBuffer>
    readonly count: number
    readonly denoisers: readonly Denoiser[]
    readonly signal: AbortSignal | undefined
  },
): AsyncGenerator<ReferenceStep, { data: Float64Array<ArrayBuffer>; evaluations: number }, undefined> {
  throw new DpmError('DPM_INTERNAL', `Sampler ${definition.name} is not built yet.`)
}
