/** A recorded program on the native loop: made once, advanced from emit to emit, freed at the end. */
import { DpmError, throwIfAborted } from '../errors.js'
import type { ExecutionHandle, NativeProgress, NativeQuestion, NetworkHandle } from '../native/binding.js'
import { call, callSync } from '../native/call.js'
import type { Precision } from '../native/device.js'
import { encodeProgram, type Program } from '../sampling/program.js'
import { Tensor } from '../tensor/tensor.js'

/** Where on the schedule a guide is asked, and about whom. */
export interface GuideLevel extends Omit<NativeQuestion, 'guide'> {
  /** Which samples of the run x holds, `first` … first+count-1, N; one that only fills x up is named twice. */
  readonly places: readonly number[]
  /** The class that the network is told of each sample in x, N; absent where it is told none. */
  readonly classes?: readonly number[] | undefined
}

/**
 * A guide's gradient at x, N×C×H×W float32 of x's shape. x is disposed of when the promise settles, and so is the answer
 * once it has been read.
 */
export type Guide = (x: Tensor<'float32'>, level: GuideLevel) => Promise<Tensor>

export interface ProgramRunOptions {
  readonly seed: number
  /** The noise key of each sample, N. */
  readonly samples: Float64Array
  /** Examples that the network sees per call. */
  readonly chunk: number
  /** Class of each sample, N, or null. */
  readonly classes: Int32Array | null
  /** N×K×H×W float32 that the networks see beside x; none when absent. */
  readonly image?: Tensor | undefined
  readonly precision: Precision
  /** Those that the program's guide instructions name by number; none when absent. */
  readonly guides?: readonly Guide[] | undefined
}

export class ProgramRun implements Disposable {
  readonly program: Program
  readonly #handle: ExecutionHandle
  readonly #guides: readonly Guide[]
  readonly #places: readonly number[]
  #asked: NativeQuestion | null = null

  private constructor(program: Program, handle: ExecutionHandle, guides: readonly Guide[], count: number) {
    this.program = program
    this.#handle = handle
    this.#guides = guides
    // Only guides are told them.
    this.#places = Array.from({ length: guides.length > 0 ? count : 0 }, (_, place) => place)
  }

  /**
   * @param networks those that the program's evaluate instructions name.
   * @param inputs tensors of shape N×C×H×W by the names of the program's inputs.
   * @throws DpmError DPM_INVALID_ARGUMENT when an input or a guide that the program names is missing, or does not fit.
   */
  static async create(
    networks: readonly NetworkHandle[],
    program: Program,
    inputs: Readonly<Record<string, Tensor>>,
    { precision, guides = [], image, ...options }: ProgramRunOptions,
  ): Promise<ProgramRun> {
    const handles = Object.keys(program.inputs).map((name) => {
      const input = inputs[name]
      if (!input) throw missing(`the input \`${name}\``, program)
      return input.handle
    })
    for (const instruction of program.instructions) {
      if (instruction.op === 'guide' && !guides[instruction.guide]) throw missing(`guide ${instruction.guide}`, program)
    }
    const handle = await call(undefined, (binding) =>
      binding.executionCreate(
        networks,
        encodeProgram(program),
        handles,
        { ...options, image: image?.handle ?? null },
        precision,
      ),
    )
    return new ProgramRun(program, handle, guides, options.samples.length)
  }

  /** Runs until `emits` more steps have passed, or to the end. Stops within one network block of an abort. */
  async advance(
    emits = Number.POSITIVE_INFINITY,
    options: {
      readonly signal?: AbortSignal | undefined
      readonly onProgress?: ((progress: NativeProgress) => void) | undefined
    } = {},
  ): Promise<NativeProgress & { readonly done: boolean }> {
    for (let left = Math.min(emits, Number.MAX_SAFE_INTEGER); ; ) {
      await this.#answer(options.signal)
      const {
        guide,
        emits: passed,
        networkSeconds: _,
        ...progress
      } = await call(options.signal, (binding, cancellation) =>
        binding.executionAdvance(this.#handle, left, options.onProgress ?? null, cancellation),
      )
      left -= passed
      if (!guide) return progress
      this.#asked = guide
    }
  }

  /** A question stays until its answer is taken: a guide that fails is asked again when the run is advanced again. */
  async #answer(signal: AbortSignal | undefined): Promise<void> {
    if (!this.#asked) return
    const { guide: index, ...level } = this.#asked
    const guide = this.#guides[index]
    if (!guide) throw missing(`guide ${index}`, this.program)
    using x = Tensor.own<'float32'>(await call(undefined, (binding) => binding.executionRead(this.#handle, 'guide')))
    using gradient = await guide(x, { ...level, places: this.#places })
    throwIfAborted(signal)
    await call(undefined, (binding) => binding.executionAnswer(this.#handle, gradient.handle))
    this.#asked = null
  }

  /** What the last step showed, or the program's output: N×C×H×W. */
  async read(which: 'x' | 'clean' | 'output'): Promise<Tensor<'float32'>> {
    return Tensor.own(await call(undefined, (binding) => binding.executionRead(this.#handle, which)))
  }

  dispose(): void {
    callSync((binding) => binding.dispose(this.#handle))
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

function missing(what: string, { name }: Program): DpmError {
  return new DpmError('DPM_INVALID_ARGUMENT', `The program of ${name} needs ${what}, which was not given.`)
}
