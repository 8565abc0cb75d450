/**
 * The type of every name that the native addon exports. `test/native/surface.test.ts` compares this list with the addon.
 *
 * The rules at this seam: TypeScript has validated everything and filled every default, so native code receives complete
 * values; every function that returns a Promise runs as one job on the compute thread; the others only touch handles.
 */
import type {
  CancellationHandle,
  DType,
  ExecutionHandle,
  Handle,
  NetworkHandle,
  PassHandle,
  ProfileHandle,
  TensorHandle,
  TrainingHandle,
} from './handles.js'
import type { NativeBatch, NativeStepReport } from './training-step.js'

export type * from './handles.js'
export * from './training-step.js'

/** Plain settings as native code reads them: numbers, strings, booleans, lists, nested by name. */
export type NativeSettings = { readonly [name: string]: NativeSetting }
export type NativeSetting =
  | number
  | string
  | boolean
  | readonly number[]
  | readonly string[]
  | readonly NativeSettings[]
  | NativeSettings

export interface NativeVersion {
  /** Version of dpm-torch that the core was built from. */
  readonly core: string
  /** libtorch's version, e.g. `2.15.0`. */
  readonly libtorch: string
  /** Widest vector instruction set of this processor that libtorch uses: `DEFAULT`, `AVX2`, `AVX512`. */
  readonly capability: string
  /** Whether this processor has products of bfloat16 (AVX-512 BF16, AMX); without, half precision is emulated and slow. */
  readonly multipliesBfloat16: boolean
  readonly threads: number
}

export interface NativeMemory {
  /** Handles not yet disposed of (or collected), by kind. */
  readonly tensors: number
  readonly networks: number
  readonly others: number
  /** Bytes that live tensor handles hold. */
  readonly bytes: number
  /** Jobs queued or running on the compute thread. */
  readonly jobs: number
}

export interface NativeExecutionOptions {
  readonly seed: number
  /** Key of each sample's noise; the same index gives the same sample in any batch. */
  readonly samples: Float64Array
  /** The network sees exactly this many examples per call; the last call of a batch is padded. */
  readonly chunk: number
  readonly classes: Int32Array | null
  /** N×K×H×W float32, what the networks see beside x; null when they take none. */
  readonly image: TensorHandle | null
}

export interface NativeProgress {
  readonly step: number
  readonly evaluations: number
}

/** What a guide instruction asks: the gradient of guide number `guide` at this level. */
export interface NativeQuestion {
  readonly guide: number
  readonly time: number
  readonly alpha: number
  readonly sigma: number
}

export interface NativeAdvance extends NativeProgress {
  readonly done: boolean
  /** Spent inside networks in this call; on a GPU, where work is queued, the time of queueing it. */
  readonly networkSeconds: number
  /** Emit instructions that passed in this call. */
  readonly emits: number
  /** Where the run waits for {@link Binding.executionAnswer}, or null. */
  readonly guide: NativeQuestion | null
}

/** `trained` is false for what no gradient reaches: statistics of a norm, random frequencies. */
export interface NativeParameter {
  readonly name: string
  readonly shape: readonly number[]
  readonly trained: boolean
}

/** Part of a training step; an evaluation of a network is all `forward`. */
export type NativePhase = 'forward' | 'backward' | 'update'

/** A tensor that an operation was given or gave; the type is null where it was absent. */
export interface NativeOperand {
  readonly shape: readonly number[]
  readonly type: string | null
}

/** Calls of one operation with tensors of the same shapes and types in one phase. */
export interface NativeOperation {
  /** libtorch's, as `aten::mkldnn_convolution`; autograd's node, as `AddBackward0`; or a kernel of ours, as `dpm::attention`. */
  readonly name: string
  readonly phase: NativePhase
  readonly inputs: readonly NativeOperand[]
  readonly outputs: readonly NativeOperand[]
  readonly calls: number
  /** Without the operations inside. */
  readonly seconds: number
  /** Of its tensors, without those that operations inside have read or written; views move none. */
  readonly bytesRead: number
  readonly bytesWritten: number
}

export interface NativeProfile {
  readonly operations: readonly NativeOperation[]
  /** Jobs that were recorded. */
  readonly runs: number
  /** Of all of them. */
  readonly seconds: number
  /** Of these, what recording took: no operation counts it. */
  readonly overhead: number
  /** Most that tensors of a job held beyond what was held when it began. */
  readonly peakBytes: number
}

export interface Binding {
  version(): NativeVersion
  memory(): NativeMemory
  /** Threads that one operation may use. */
  setThreads(count: number): Promise<void>
  cudaDeviceCount(): Promise<number>

  cancellationCreate(): CancellationHandle
  cancel(cancellation: CancellationHandle): void
  /** Frees what any handle holds, at once or when the job that uses it ends. Doing it twice is harmless. */
  dispose(handle: Handle<string>): void

  tensorCreate(data: Uint8Array, shape: readonly number[], dtype: DType): TensorHandle
  tensorInfo(tensor: TensorHandle): { shape: number[]; dtype: DType; device: string }
  /** A copy of the elements in row-major order. */
  tensorData(tensor: TensorHandle): Promise<ArrayBuffer>
  tensorConvert(tensor: TensorHandle, dtype: DType, device: string): Promise<TensorHandle>
  /** Standard normals: element i of example e is philox(seed, purpose, step, e, i). */
  randomNormal(
    seed: number,
    purpose: number,
    step: number,
    examples: Float64Array,
    shape: readonly number[],
    device: string,
  ): Promise<TensorHandle>

  /**
   * Attention over rows of 3 · channels queries, keys and values that begin at column `first` of an N×positions×C joint (or
   * N×C×positions, with `columns`), and its gradient by the whole joint where one by the result is given: for tests.
   */
  attend(
    joint: TensorHandle,
    byMixed: TensorHandle | null,
    settings: {
      readonly heads: number
      readonly channels: number
      readonly first: number
      readonly columns: boolean
      readonly interleaved: boolean
      readonly fused: boolean
    },
  ): Promise<{ mixed: TensorHandle; byJoint: TensorHandle | null }>

  /**
   * A layer of its own, `convolution`, `group-norm-silu`, `attention` or `dropout`, of its inputs in their places in memory
   * (native/bindings/layer_alone.cpp), and where `byOutput` is given the gradient by every input: for tests.
   */
  layerAlone(
    name: string,
    inputs: readonly (TensorHandle | null)[],
    byOutput: TensorHandle | null,
    settings: NativeSettings,
  ): Promise<{ output: TensorHandle; gradients: (TensorHandle | null)[] }>
  /** A kernel of native/engine/ops/kernels.h, or with `fused: false` its twin of libtorch's operators: for tests. */
  kernelAlone(name: string, inputs: readonly TensorHandle[], settings: NativeSettings): Promise<TensorHandle[]>

  networkCreate(kind: string, settings: NativeSettings, seed: number, device: string): Promise<NetworkHandle>
  /** The parameters of a network that is not built. */
  networkDescribe(kind: string, settings: NativeSettings): Promise<NativeParameter[]>
  networkParameters(network: NetworkHandle): NativeParameter[]
  networkRead(network: NetworkHandle, name: string): Promise<TensorHandle>
  networkWrite(network: NetworkHandle, name: string, value: TensorHandle): Promise<void>
  networkForward(
    network: NetworkHandle,
    x: TensorHandle,
    labels: Float64Array,
    classes: Int32Array | null,
    image: TensorHandle | null,
    gradient: boolean,
    precision: string,
    cancellation: CancellationHandle | null,
    profile?: ProfileHandle | null,
  ): Promise<PassHandle>
  /**
   * What is mixed with noise instead of the images at the levels of N labels, of a network that learns the forward step: x +
   * gate f(x, label). x and the result N×C×H×W.
   */
  networkEncode(
    network: NetworkHandle,
    x: TensorHandle,
    labels: Float64Array,
    gates: Float64Array,
  ): Promise<TensorHandle>
  passOutput(pass: PassHandle): TensorHandle
  passBackward(pass: PassHandle, gradient: TensorHandle): Promise<{ input: TensorHandle; parameters: TensorHandle[] }>

  trainingCreate(network: NetworkHandle, settings: NativeSettings): Promise<TrainingHandle>
  trainingStep(
    training: TrainingHandle,
    batch: NativeBatch,
    cancellation: CancellationHandle | null,
    profile?: ProfileHandle | null,
  ): Promise<NativeStepReport>
  /**
   * Squared distances between the images (uint8 scaled to [-1, 1]) and the noises that training draws for the examples and
   * epochs: N×N, a row per image.
   */
  pairingCosts(images: TensorHandle, examples: Float64Array, epochs: Float64Array, seed: number): Promise<Float64Array>
  /** Names of the optimizer's and the averaged copies' tensors, e.g. `optimizer.first.input.weight`. */
  trainingTensors(training: TrainingHandle): { name: string; shape: number[] }[]
  trainingRead(training: TrainingHandle, name: string): Promise<TensorHandle>
  trainingWrite(training: TrainingHandle, name: string, value: TensorHandle): Promise<void>
  /**
   * Drops what is left of an update that did not come to its end. `step` is how many updates the weights have seen, `writes` how
   * often a parameter was written from outside. @throws DPM_NATIVE where the optimizer itself was cut short.
   */
  trainingSettle(training: TrainingHandle): Promise<{ step: number; writes: number }>
  /** The weights have seen so many updates: the next one must follow these. Before the first, averages follow `networkWrite`. */
  trainingBegin(training: TrainingHandle, step: number): Promise<void>
  /** A network over the averaged weights: it shares them, so it follows the training. */
  trainingAveraged(training: TrainingHandle, index: number): NetworkHandle

  /** Records the operations of the jobs that it is given to, and of no others. */
  profileCreate(): ProfileHandle
  profileRead(profile: ProfileHandle): Promise<NativeProfile>
  /**
   * Seconds of each of `times` convolutions 3×3 of `count` images of size × size from `channels` to as many, by libtorch; one
   * more before them warms up.
   */
  measureConvolution(
    settings: { readonly count: number; readonly channels: number; readonly size: number },
    precision: string,
    device: string,
    times: number,
    cancellation: CancellationHandle | null,
  ): Promise<Float64Array>
  /** Seconds of each of `times` copies of so many bytes; one more before them warms up. */
  measureCopy(
    bytes: number,
    device: string,
    times: number,
    cancellation: CancellationHandle | null,
  ): Promise<Float64Array>

  executionCreate(
    networks: readonly NetworkHandle[],
    program: Float64Array,
    inputs: readonly TensorHandle[],
    options: NativeExecutionOptions,
    precision: string,
  ): Promise<ExecutionHandle>
  /** Runs until `emits` more emit instructions have passed, or to a guide that must be answered, or to the end. */
  executionAdvance(
    execution: ExecutionHandle,
    emits: number,
    progress: ((progress: NativeProgress) => void) | null,
    cancellation: CancellationHandle | null,
  ): Promise<NativeAdvance>
  /** What the guide found that the run waits for: float32, of x's shape. The next advance goes on behind it. */
  executionAnswer(execution: ExecutionHandle, gradient: TensorHandle): Promise<void>
  /** What the last emit showed, what the guide is asked about, or the program's output. */
  executionRead(execution: ExecutionHandle, which: 'x' | 'clean' | 'guide' | 'output'): Promise<TensorHandle>
}

/** Names of all functions of {@link Binding}; the type below makes this list complete. */
export const bindingNames = [
  'version',
  'memory',
  'setThreads',
  'cudaDeviceCount',
  'cancellationCreate',
  'cancel',
  'dispose',
  'tensorCreate',
  'tensorInfo',
  'tensorData',
  'tensorConvert',
  'randomNormal',
  'attend',
  'layerAlone',
  'kernelAlone',
  'networkCreate',
  'networkDescribe',
  'networkParameters',
  'networkRead',
  'networkWrite',
  'networkForward',
  'networkEncode',
  'passOutput',
  'passBackward',
  'trainingCreate',
  'trainingStep',
  'pairingCosts',
  'trainingTensors',
  'trainingRead',
  'trainingWrite',
  'trainingSettle',
  'trainingBegin',
  'trainingAveraged',
  'profileCreate',
  'profileRead',
  'measureConvolution',
  'measureCopy',
  'executionCreate',
  'executionAdvance',
  'executionAnswer',
  'executionRead',
] as const satisfies readonly (keyof Binding)[]
