/**
 * An adaptive sampler on a native network. Every sample's state is float64 here and stands at a level of its own; the network is
 * asked in float32, chunk by chunk of one size, so that a sample's bytes do not depend on its company.
 */
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError, throwIfAborted } from '../errors.js'
import type { NativeProgress, NetworkHandle } from '../native/binding.js'
import { call } from '../native/call.js'
import { Pass } from '../networks/network.js'
import { type AdaptiveResult, type AdaptiveRunStep, type NetworkQuestion, solveAdaptive } from '../sampling/adaptive.js'
import type { AdaptiveSampler } from '../sampling/define-sampler.js'
import type { Condition } from '../sampling/program.js'
import type { RecordContext } from '../sampling/recorder.js'
import type { ReferenceGuide } from '../sampling/reference-executor.js'
import { Tensor } from '../tensor/tensor.js'
import type { Source } from './generate.js'
import type { Guide, ProgramRunOptions } from './program-run.js'

/** Steps that the progress of an adaptive run counts: hundredths of the way, since nobody knows how many steps there will be. */
export const adaptiveSteps = 100

export interface AdaptiveRunInputs {
  /** N×C×H×W: what the context's `start` makes x at the first level of. */
  readonly x: Tensor
  /** N×C×H×W, where the run starts from images. */
  readonly image?: Tensor | undefined
}

/** The seed and the keys of noise are not needed: x is given, and these samplers draw no more. */
export type AdaptiveRunOptions = Omit<ProgramRunOptions, 'seed' | 'samples'>

export class AdaptiveRun implements Disposable {
  readonly #steps: AsyncGenerator<AdaptiveRunStep, AdaptiveResult, undefined>
  readonly #shape: readonly number[]
  readonly #device: string
  #signal: AbortSignal | undefined
  #last: AdaptiveRunStep | undefined
  #result: AdaptiveResult | undefined
  #failure: unknown

  private constructor(
    steps: (signal: () => AbortSignal | undefined) => AsyncGenerator<AdaptiveRunStep, AdaptiveResult, undefined>,
    shape: readonly number[],
    device: string,
  ) {
    this.#steps = steps(() => this.#signal)
    this.#shape = shape
    this.#device = device
  }

  /**
   * @param source the sampled network. @param weaker that of autoguidance, where the guidance asks for it.
   * @param settings the sampler's own. @param context as it is recorded for other samplers.
   * @param options.guides are asked about one sample at a time, 1×C×H×W, since each is at a level of its own.
   */
  static async create(
    source: Source,
    weaker: NetworkHandle | undefined,
    sampler: AdaptiveSampler,
    settings: unknown,
    context: RecordContext,
    { x, image }: AdaptiveRunInputs,
    options: AdaptiveRunOptions,
  ): Promise<AdaptiveRun> {
    const [count = 0] = x.shape
    const { channels, height, width } = source.image
    const inputs = { x: await numbersOf(x), ...(image && { image: await numbersOf(image) }) }
    const beside = options.image ? await numbersOf(options.image) : undefined
    const networks = new Networks([source.network, ...(weaker ? [weaker] : [])], source, options, beside)
    return new AdaptiveRun(
      (signal) =>
        solveAdaptive(sampler, settings, context, {
          ask: (questions) => networks.ask(questions, signal()),
          guides: options.guides?.map((guide) => referenceGuide(guide, source.image)),
          inputs,
          count,
          elements: channels * height * width,
        }),
      [count, channels, height, width],
      source.device,
    )
  }

  /**
   * Runs until so many more steps have been tried, or to the end. A run that was aborted, or that failed, cannot go on.
   * @throws DpmError DPM_ABORTED, DPM_INVALID_OPTION, DPM_NON_FINITE
   */
  async advance(
    tries = Number.POSITIVE_INFINITY,
    options: {
      readonly signal?: AbortSignal | undefined
      readonly onProgress?: ((progress: NativeProgress) => void) | undefined
    } = {},
  ): Promise<NativeProgress & { readonly done: boolean }> {
    if (this.#failure !== undefined) throw this.#failure
    this.#signal = options.signal
    try {
      for (let tried = 0; tried < tries && !this.#result; ) {
        throwIfAborted(options.signal, 'Sampling')
        const next = await this.#steps.next()
        if (next.done) {
          this.#result = next.value
        } else {
          tried += 1
          this.#last = next.value
          options.onProgress?.(this.#progress())
        }
      }
    } catch (error) {
      this.#failure = error
      throw error
    }
    return { ...this.#progress(), done: this.#result !== undefined }
  }

  /** What the last step showed, or the output: N×C×H×W. @throws DpmError DPM_INVALID_ARGUMENT before there is any. */
  async read(which: 'x' | 'clean' | 'output'): Promise<Tensor<'float32'>> {
    const numbers = which === 'output' ? this.#result?.data : this.#last?.[which]
    if (!numbers) throw new DpmError('DPM_INVALID_ARGUMENT', `The run has no \`${which}\` yet. Advance it first.`)
    using tensor = Tensor.from(Float32Array.from(numbers), this.#shape)
    return tensor.to<'float32'>({ device: this.#device })
  }

  dispose(): void {
    void this.#steps.return({ data: new Float64Array(), evaluations: 0 })
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #progress(): NativeProgress {
    const fraction = this.#result ? 1 : (this.#last?.fraction ?? 0)
    return { step: Math.floor(adaptiveSteps * fraction), evaluations: this.#last?.evaluations ?? 0 }
  }
}

async function numbersOf(tensor: Tensor): Promise<Float32Array> {
  using numbers = await tensor.to({ dtype: 'float32' })
  return numbers.data()
}

function referenceGuide(guide: Guide, { channels, height, width }: ImageShape): ReferenceGuide {
  return async (x, level) => {
    using state = Tensor.from(Float32Array.from(x), [1, channels, height, width]) as Tensor<'float32'>
    using gradient = await guide(state, level)
    return numbersOf(gradient)
  }
}

/** The networks of a run, asked about any of its samples at any level. */
class Networks {
  readonly #networks: readonly NetworkHandle[]
  readonly #source: Source
  readonly #options: AdaptiveRunOptions
  /** What the networks see beside x, all samples after another. */
  readonly #beside: Float32Array | undefined

  constructor(
    networks: readonly NetworkHandle[],
    source: Source,
    options: AdaptiveRunOptions,
    beside: Float32Array | undefined,
  ) {
    this.#networks = networks
    this.#source = source
    this.#options = options
    this.#beside = beside
  }

  /** The outputs in the order of the questions. Those of one network and condition are asked together. */
  async ask(questions: readonly NetworkQuestion[], signal: AbortSignal | undefined): Promise<Float32Array[]> {
    const outputs = new Map<NetworkQuestion, Float32Array>()
    for (const network of new Set(questions.map((one) => one.network))) {
      for (const condition of ['given', 'null'] as const) {
        const group = questions.filter((one) => one.network === network && one.condition === condition)
        for (let start = 0; start < group.length; start += this.#options.chunk) {
          const part = group.slice(start, start + this.#options.chunk)
          const found = await this.#forward(network, condition, part, signal)
          part.forEach((question, n) => void outputs.set(question, found[n] ?? new Float32Array()))
        }
      }
    }
    return questions.map((question) => outputs.get(question) ?? new Float32Array())
  }

  /** One call of a network with exactly a chunk of examples, the last of them idle where there are fewer questions. */
  async #forward(
    network: number,
    condition: Condition,
    questions: readonly NetworkQuestion[],
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const { chunk, classes, precision } = this.#options
    const { channels, height, width } = this.#source.image
    const handle = this.#networks[network]
    if (!handle) throw new DpmError('DPM_INTERNAL', `The run has no network ${network}.`)
    const elements = channels * height * width
    const x = new Float32Array(chunk * elements)
    questions.forEach((question, n) => void x.set(question.x, n * elements))
    const labels = Float64Array.from({ length: chunk }, (_, n) => (questions[n] ?? questions[0])?.label ?? 0)
    const indices =
      classes && condition === 'given'
        ? Int32Array.from({ length: chunk }, (_, n) => classes[(questions[n] ?? questions[0])?.sample ?? 0] ?? 0)
        : null
    using input = Tensor.from(x, [chunk, channels, height, width])
    using beside = this.#besideOf(questions)
    using pass = new Pass(
      await call(signal, (binding, cancellation) =>
        binding.networkForward(
          handle,
          input.handle,
          labels,
          indices,
          beside?.handle ?? null,
          false,
          precision,
          cancellation,
        ),
      ),
      [],
    )
    const output = await pass.output.data()
    // Of a network with learned variance the first half of the channels says what is predicted.
    const stride = output.length / chunk
    if (stride !== elements && stride !== 2 * elements) {
      throw new DpmError(
        'DPM_INVALID_ARGUMENT',
        `Expected a network that gives images of ${channels}×${height}×${width} but it gives ${stride} numbers for each.`,
      )
    }
    return questions.map((_, n) => output.slice(n * stride, n * stride + elements))
  }

  #besideOf(questions: readonly NetworkQuestion[]): Tensor | undefined {
    if (!this.#beside) return undefined
    const { chunk } = this.#options
    const { image, conditionChannels } = this.#source
    const size = conditionChannels * image.height * image.width
    const rows = new Float32Array(chunk * size)
    questions.forEach(
      ({ sample }, n) => void rows.set(this.#beside?.subarray(sample * size, (sample + 1) * size) ?? [], n * size),
    )
    return Tensor.from(rows, [chunk, conditionChannels, image.height, image.width])
  }
}
