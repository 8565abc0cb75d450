/** A recorded program on the native loop: made once, advanced from emit to emit, freed at the end. */
import type { ExecutionHandle, NativeProgress, NetworkHandle } from '../native/binding.js'
import { call, callSync } from '../native/call.js'
import type { Precision } from '../native/device.js'
import { encodeProgram, type Program } from '../sampling/program.js'
import { Tensor } from '../tensor/tensor.js'

export interface ProgramRunOptions {
  readonly seed: number
  /** The noise key of each sample, N. */
  readonly samples: Float64Array
  /** Examples that the network sees per call. */
  readonly chunk: number
  /** Class of each sample, N, or null. */
  readonly classes: Int32Array | null
  readonly precision: Precision
}

export class ProgramRun implements Disposable {
  readonly program: Program
  readonly #handle: ExecutionHandle

  private constructor(program: Program, handle: ExecutionHandle) {
    this.program = program
    this.#handle = handle
  }

  /**
   * @param networks those that the program's evaluate instructions name.
   * @param inputs tensors of shape N×C×H×W by the names of the program's inputs.
   */
  static async create(
    networks: readonly NetworkHandle[],
    program: Program,
    inputs: Readonly<Record<string, Tensor>>,
    { precision, ...options }: ProgramRunOptions,
  ): Promise<ProgramRun> {
    const handles = Object.keys(program.inputs).flatMap((name) => inputs[name]?.handle ?? [])
    const handle = await call(undefined, (binding) =>
      binding.executionCreate(networks, encodeProgram(program), handles, options, precision),
    )
    return new ProgramRun(program, handle)
  }

  /** Runs until `emits` more steps have passed, or to the end. Stops within one network block of an abort. */
  async advance(
    emits = Number.POSITIVE_INFINITY,
    options: {
      readonly signal?: AbortSignal | undefined
      readonly onProgress?: ((progress: NativeProgress) => void) | undefined
    } = {},
  ): Promise<NativeProgress & { readonly done: boolean }> {
    return call(options.signal, (binding, cancellation) =>
      binding.executionAdvance(
        this.#handle,
        Math.min(emits, Number.MAX_SAFE_INTEGER),
        options.onProgress ?? null,
        cancellation,
      ),
    )
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
