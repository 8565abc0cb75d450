/**
 * Running a sampler that decides on its steps while it runs: a batch of which every sample stands at a level of its own.
 * State is float64 on the JavaScript side; only the network is asked elsewhere.
 *
 * What it means to denoise is the recorder's business alone: for every sample the little program of one denoising is
 * recorded and run, and where these programs ask the network, their questions are put to it together.
 */

import * as z from 'zod'
import type { Level, Schedule } from '../diffusion/schedule.js'
import { DpmError, expected } from '../errors.js'
import { isNumberList } from '../options/number-list.js'
import { type AdaptiveSampler, defineSampler } from './define-sampler.js'
import type { Condition } from './program.js'
import { type RecordContext, record, type Start } from './recorder.js'
import { type ReferenceGuide, type ReferenceStep, runReference } from './reference-executor.js'

export interface AdaptiveProblem {
  readonly schedule: Schedule
  /** The noisiest level first, the clean one last; those between are for the solver to take or leave. */
  readonly levels: readonly Level[]
  /** x at the first level, N × elements. */
  readonly x: Float64Array<ArrayBuffer>
  /** Number of samples. */
  readonly count: number
  /**
   * The clean image of each sample at its own level, guided and clipped as the run asks.
   * @param x N × elements of the samples asked about
   * @param levels N
   * @param samples which samples these are, 0 … count-1
   */
  denoise(x: Float64Array, levels: readonly Level[], samples: readonly number[]): Promise<Float64Array<ArrayBuffer>>
  readonly signal: AbortSignal | undefined
}

export interface AdaptiveStep {
  readonly x: Float64Array<ArrayBuffer>
  readonly clean: Float64Array<ArrayBuffer>
  /** Share of the way from the first level to the last, 0 … 1, of the sample that is furthest behind. */
  readonly fraction: number
}

/** What a network is asked about one sample. */
export interface NetworkQuestion {
  /** cIn · x, elements. */
  readonly x: Float64Array
  /** The label of the sample's level. */
  readonly label: number
  readonly condition: Condition
  /** Which of the run's networks. */
  readonly network: number
  /** Which sample, 0 … count-1. */
  readonly sample: number
}

export interface AdaptiveRun {
  /** The bare outputs F, in the order of the questions; of a network with learned variance its second half is left out. */
  readonly ask: (questions: readonly NetworkQuestion[]) => Promise<readonly ArrayLike<number>[]>
  readonly guides?: readonly ReferenceGuide[] | undefined
  /** `x` as `context.start` has it, and `image` where the run starts from one: N × elements each. */
  readonly inputs: Readonly<Record<string, ArrayLike<number>>>
  readonly count: number
  /** Of one sample. */
  readonly elements: number
  readonly signal?: AbortSignal | undefined
}

export interface AdaptiveResult {
  /** N × elements. */
  readonly data: Float64Array<ArrayBuffer>
  /** How often a network was asked about the sample that took most. */
  readonly evaluations: number
}

/** A step of a run: the n-th try of a step of all samples that are still on their way. */
export type AdaptiveRunStep = ReferenceStep & Pick<AdaptiveStep, 'fraction'> & Pick<AdaptiveResult, 'evaluations'>

/**
 * Runs an adaptive sampler, step by step; leaving the loop ends the run.
 * @throws DpmError DPM_INVALID_OPTION for a run that the sampler cannot make, DPM_INVALID_ARGUMENT for inputs that do not fit,
 *   DPM_NON_FINITE, DPM_ABORTED.
 */
export async function* solveAdaptive(
  sampler: AdaptiveSampler,
  settings: unknown,
  context: RecordContext,
  run: AdaptiveRun,
): AsyncGenerator<AdaptiveRunStep, AdaptiveResult, undefined> {
  if (context.inpaint) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Sampler "${sampler.name}" has no levels that all samples come by, so \`inpaint\` cannot put the known part back at them. Use another sampler.`,
    )
  }
  const { schedule, levels } = context
  const evaluations = new Array<number>(run.count).fill(0)
  const ask: AdaptiveRun['ask'] = (questions) => {
    for (const { sample } of questions) evaluations[sample] = (evaluations[sample] ?? 0) + 1
    return run.ask(questions)
  }
  const most = (): number => evaluations.reduce((top, one) => Math.max(top, one), 0)
  const solution = sampler.solve(
    {
      schedule,
      levels,
      count: run.count,
      x: startOf(context, run),
      denoise: (x, at, samples) => denoiseEach(x, at, samples, context, { ...run, ask }),
      signal: run.signal,
    },
    settings as never,
  )
  for (let step = 1; ; step++) {
    const next = await solution.next()
    if (next.done) {
      const { finalScale = 1 } = context
      return { data: Float64Array.from(next.value, (value) => finalScale * value), evaluations: most() }
    }
    yield { step, ...next.value, evaluations: most() }
  }
}

/** x at the first level, as the recorder begins a program. */
function startOf(
  { start, schedule, levels }: RecordContext,
  { inputs, count, elements }: AdaptiveRun,
): Float64Array<ArrayBuffer> {
  const [first = schedule.clean] = levels
  const input = (name: string): ArrayLike<number> => {
    const found = inputs[name]
    const wanted = `${count} × ${elements} = ${count * elements} numbers`
    if (!isNumberList(found)) throw expected(wanted, name, found)
    if (found.length !== count * elements) throw expected(wanted, name, found.length)
    const bad = Array.prototype.findIndex.call(found, (value) => !Number.isFinite(value))
    if (bad >= 0) throw expected('finite numbers', name, found[bad], `That is element ${bad}.`)
    return found
  }
  const x = input('x')
  const made = {
    given: () => Float64Array.from(x),
    noise: () => Float64Array.from(x, (value) => schedule.prior(first) * value),
    image: () => {
      const image = input('image')
      return Float64Array.from(x, (value, i) => first.alpha * (image[i] ?? 0) + first.sigma * value)
    },
  } satisfies Record<Start, () => Float64Array<ArrayBuffer>>
  return made[start]()
}

/** One denoising: the clean image at the first level. */
const denoising = defineSampler(
  'denoising',
  z.strictObject({ kind: z.literal('denoising') }),
  (x, { levels: [level], schedule, denoise, emit }) => {
    const clean = denoise(x, level ?? schedule.clean)
    return emit(clean, clean)
  },
)

async function denoiseEach(
  x: Float64Array,
  levels: readonly Level[],
  samples: readonly number[],
  context: RecordContext,
  { ask, guides, signal }: AdaptiveRun,
): Promise<Float64Array<ArrayBuffer>> {
  const elements = x.length / samples.length
  const questions = new Questions(samples.length, ask)
  const cleans = await Promise.all(
    samples.map(async (sample, n) => {
      const level = levels[n] ?? context.schedule.clean
      const program = record(
        denoising,
        { kind: 'denoising' },
        { ...context, levels: [level, context.schedule.clean], start: 'given' },
      )
      const { output } = await runReference(program, {
        network: (input, label, condition, network) => questions.put({ x: input, label, condition, network, sample }),
        guides,
        inputs: { x: x.subarray(n * elements, (n + 1) * elements) },
        shape: [elements],
        samples: [0],
        places: [sample],
        seed: 0,
        signal,
      })
      questions.leave()
      return output
    }),
  )
  const result = new Float64Array(x.length)
  cleans.forEach((clean, n) => void result.set(clean, n * elements))
  return result
}

/** Collects what several programs ask until all that still run are waiting for an answer, then asks once for all. */
class Questions {
  readonly #ask: AdaptiveRun['ask']
  #running: number
  #waiting: {
    readonly question: NetworkQuestion
    readonly answer: (output: ArrayLike<number>) => void
    readonly fail: (error: unknown) => void
  }[] = []

  constructor(programs: number, ask: AdaptiveRun['ask']) {
    this.#running = programs
    this.#ask = ask
  }

  put(question: NetworkQuestion): Promise<ArrayLike<number>> {
    return new Promise((answer, fail) => {
      this.#waiting.push({ question, answer, fail })
      this.#askWhenAllWait()
    })
  }

  /** A program has come to its end. */
  leave(): void {
    this.#running -= 1
    this.#askWhenAllWait()
  }

  #askWhenAllWait(): void {
    if (this.#waiting.length === 0 || this.#waiting.length < this.#running) return
    // By sample, whichever program came first: what is asked together does not depend on timing.
    const waiting = this.#waiting.sort((a, b) => a.question.sample - b.question.sample)
    this.#waiting = []
    this.#ask(waiting.map(({ question }) => question)).then(
      (outputs) => {
        waiting.forEach(({ answer }, i) => {
          answer(outputs[i] as ArrayLike<number>)
        })
      },
      (error: unknown) => {
        for (const { fail } of waiting) fail(error)
      },
    )
  }
}
