/** A bare network from TypeScript: its parameters, its forward pass, and its backward pass. */
import type { ImageShape } from '../datasets/data-set.js'
import { DpmError, expected } from '../errors.js'
import type { NativeParameter, NativeSettings, NetworkHandle, PassHandle } from '../native/binding.js'
import { call, callSync } from '../native/call.js'
import { type Precision, precisions, resolveDevice } from '../native/device.js'
import { type Checks, checks, instanceOf, readOptions, whole } from '../options/call-options.js'
import { isNumberList } from '../options/number-list.js'
import { parseOptions } from '../options/options.js'
import { type Seed, seedNumber } from '../options/seed.js'
import { countOf, Tensor } from '../tensor/tensor.js'
import {
  type NetworkKind,
  type NetworkOptions,
  type NetworkSettings,
  nativeSettings,
  networkSchema,
  networks,
} from './list.js'
import { readyNetwork } from './program-file.js'
import type { TorchScriptOptions } from './torch-script.js'

export interface NetworkPlace {
  /** Channels and size of the images; 3×32×32 when absent. */
  readonly image?: ImageShape
  /** Number of classes of the data; 0 when absent. */
  readonly classes?: number
  /** Output channels per image channel: 2 when the second half is a learned variance; 1 when absent. */
  readonly outputs?: 1 | 2
  /** First weights are a function of it; 0 when absent. */
  readonly seed?: Seed
  /** `auto` when absent. */
  readonly device?: string
  /** Folders that may hold a run's own copy of its TorchScript module. @internal */
  readonly near?: readonly string[]
}

/** A parameter's name and shape; `trained` is false for what is kept without a gradient: statistics, random frequencies. */
export type Parameter = NativeParameter

export interface ForwardOptions {
  /** N class indices; the null class when absent. */
  readonly classes?: ArrayLike<number> | undefined
  /** N×K×H×W float32 that the network sees beside x, where it has `conditionChannels` K. */
  readonly image?: Tensor | undefined
  /** Whether `backward()` will be called; true when absent. */
  readonly gradient?: boolean
  readonly precision?: Precision
  readonly signal?: AbortSignal | undefined
}

/** The data of a TorchScript module, and what its arguments are. */
export type TorchScriptPlace = NetworkPlace & Partial<Omit<TorchScriptOptions, 'kind' | 'file' | 'classConditional'>>

type OptionsOf<Kind extends NetworkKind> = Omit<Extract<NetworkOptions, { kind: Kind }>, 'kind'>

const defaultImage: ImageShape = { channels: 3, height: 32, width: 32 }

export class Network implements Disposable {
  readonly settings: NetworkSettings
  readonly image: ImageShape
  readonly parameters: readonly Parameter[]
  readonly handle: NetworkHandle

  private constructor(settings: NetworkSettings, image: ImageShape, handle: NetworkHandle) {
    this.settings = settings
    this.image = image
    this.handle = handle
    this.parameters = callSync((binding) => binding.networkParameters(handle))
  }

  /**
   * Builds a network with its first weights.
   * @throws DpmError DPM_INVALID_OPTION, DPM_DEVICE_UNAVAILABLE
   */
  static async create<Kind extends NetworkKind>(
    kind: Kind,
    options: OptionsOf<Kind>,
    place: NetworkPlace = {},
  ): Promise<Network> {
    return Network.build(settingsOf(kind, options), place)
  }

  /**
   * The parameters that such a network would have, without its memory.
   * @throws DpmError DPM_INVALID_OPTION
   */
  static async describe<Kind extends NetworkKind>(
    kind: Kind,
    options: OptionsOf<Kind>,
    { image = defaultImage, classes = 0, outputs = 1 }: Pick<NetworkPlace, 'image' | 'classes' | 'outputs'> = {},
  ): Promise<readonly Parameter[]> {
    const settings = await readyNetwork(settingsOf(kind, options))
    const native = nativeSettings(settings, image, classes, outputs)
    return call(undefined, (binding) => binding.networkDescribe(kind, native))
  }

  /**
   * The same from complete settings. A TorchScript module that they name is run: do not hand it those of a file that you would
   * not run.
   */
  static async build(settings: NetworkSettings, asked: NetworkPlace = {}): Promise<Network> {
    const place = readOptions('the place of a network', asked, placeChecks)
    const { image = defaultImage, classes = 0, outputs = 1, device = 'auto', near = [] } = place
    const seed = seedNumber(place.seed ?? 0)
    const ready = await readyNetwork(settings, near)
    const native: NativeSettings = nativeSettings(ready, image, classes, outputs)
    const resolved = await resolveDevice(device)
    const handle = await call(undefined, (binding) => binding.networkCreate(ready.kind, native, seed, resolved))
    return new Network(ready, image, handle)
  }

  /**
   * A network of your own, exported from Python as TorchScript; its weights are those of the file. A module is a program, which can
   * read and write files and is not ended by an abort: name none that you would not run.
   * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID, DPM_INVALID_OPTION where its arguments cannot be told apart,
   *   DPM_INVALID_ARGUMENT where a first run on zeros fails or gives another shape.
   */
  static async fromTorchScript(
    file: string,
    { inputs, timeType, nullClass, conditionChannels, sha256, ...place }: TorchScriptPlace = {},
  ): Promise<Network> {
    const classConditional = (place.classes ?? 0) > 0
    const given = { inputs, timeType, nullClass, conditionChannels, sha256 }
    const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
    return Network.create('torch-script', { ...options, file, classConditional }, place)
  }

  /** Number of trainable numbers. */
  get size(): number {
    return sizeOf(this.parameters)
  }

  /** A copy of a parameter. */
  async read(name: string): Promise<Tensor<'float32'>> {
    return Tensor.own(await call(undefined, (binding) => binding.networkRead(this.handle, name)))
  }

  /**
   * Replaces a parameter. Of the network of a `Trainer`, before the first update of its run, in the averaged copies too.
   * @throws DpmError DPM_INVALID_ARGUMENT for an unknown name or another shape.
   */
  async write(name: string, value: Tensor): Promise<void> {
    requireTensor(value, 'value')
    await call(undefined, (binding) => binding.networkWrite(this.handle, name, value.handle))
  }

  /**
   * The network's output for x at the given time labels.
   * @param x N×C×H×W. @param labels N numbers: the time as this network is told it.
   * @throws DpmError DPM_INVALID_ARGUMENT naming the shape that does not fit, or a conditioning image that is missing.
   */
  async forward(x: Tensor, labels: ArrayLike<number>, options: ForwardOptions = {}): Promise<Pass> {
    requireTensor(x, 'x')
    const times = requireNumbers(labels, 'labels')
    const {
      classes,
      image,
      gradient = true,
      precision = 'float32',
      signal,
    } = readOptions('forward', options, forwardChecks)
    if (!precisions.includes(precision)) throw expected(`one of ${precisions.join(', ')}`, 'precision', precision)
    const indices = classes ? Int32Array.from(classes, Number) : null
    const handle = await call(signal, (binding, cancellation) =>
      binding.networkForward(
        this.handle,
        x.handle,
        times,
        indices,
        image?.handle ?? null,
        gradient,
        precision,
        cancellation,
      ),
    )
    return new Pass(handle, this.parameters)
  }

  /**
   * What is mixed with noise instead of the images, of a network that learns the forward step: F(x, t) = x + gate f(x, t).
   * @param x N×C×H×W. @param labels N time labels. @param gates N, 0 … 1.
   * @throws DpmError DPM_INVALID_ARGUMENT where the network does not learn it.
   */
  async encode(x: Tensor, labels: ArrayLike<number>, gates: ArrayLike<number>): Promise<Tensor<'float32'>> {
    requireTensor(x, 'x')
    const given = [requireNumbers(labels, 'labels'), requireNumbers(gates, 'gates')] as const
    return Tensor.own(await call(undefined, (binding) => binding.networkEncode(this.handle, x.handle, ...given)))
  }

  dispose(): void {
    callSync((binding) => binding.dispose(this.handle))
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/** Number of trainable numbers. */
export function sizeOf(parameters: readonly Parameter[]): number {
  return parameters.reduce((sum, { shape, trained }) => sum + (trained ? countOf(shape) : 0), 0)
}

const placeChecks: Checks<NetworkPlace> = {
  image: checks.object,
  classes: whole(0, 2 ** 31 - 1),
  outputs: whole(1, 2),
  seed: checks.any,
  device: checks.text,
  near: checks.list,
}

const forwardChecks: Checks<ForwardOptions> = {
  classes: checks.numbers,
  image: instanceOf('a Tensor', Tensor),
  gradient: checks.flag,
  precision: checks.any,
  signal: checks.signal,
}

function requireTensor(value: unknown, name: string): void {
  if (!(value instanceof Tensor)) throw expected('a Tensor', name, value)
}

/** A copy, of 64 bits. */
function requireNumbers(value: ArrayLike<number>, name: string): Float64Array<ArrayBuffer> {
  if (!isNumberList(value)) throw expected('a list of numbers or a typed array', name, value)
  return Float64Array.from(value, Number)
}

function settingsOf(kind: string, options: object): NetworkSettings {
  if (!Object.hasOwn(networks, kind)) {
    throw expected(`one of ${Object.keys(networks).join(', ')}`, 'kind', kind, '', 'DPM_INVALID_OPTION')
  }
  if (!checks.object.fits(options)) throw expected('an object of options', 'options', options, '', 'DPM_INVALID_OPTION')
  return parseOptions(networkSchema, { ...options, kind }, kind)
}

/** Gradients of sum(output * gradient). */
export interface Gradients extends Disposable {
  readonly input: Tensor<'float32'>
  readonly parameters: ReadonlyMap<string, Tensor<'float32'>>
}

/** One forward pass, and what its backward pass needs. */
export class Pass implements Disposable {
  /** N×C×H×W, or N×2C×H×W where the second half is a learned variance; a classifier's is N×K. */
  readonly output: Tensor<'float32'>
  readonly #handle: PassHandle
  readonly #parameters: readonly Parameter[]

  constructor(handle: PassHandle, parameters: readonly Parameter[]) {
    this.#handle = handle
    this.#parameters = parameters
    this.output = Tensor.own(callSync((binding) => binding.passOutput(handle)))
  }

  /**
   * Gradients of sum(output * gradient) by the input and every parameter; once per pass, it frees what was kept.
   * @param gradient of the output's shape.
   * @throws DpmError DPM_INVALID_ARGUMENT
   */
  async backward(gradient: Tensor): Promise<Gradients> {
    requireTensor(gradient, 'gradient')
    const { input, parameters } = await call(undefined, (binding) =>
      binding.passBackward(this.#handle, gradient.handle),
    )
    const named = new Map<string, Tensor<'float32'>>()
    for (const [index, { name }] of this.#parameters.entries()) {
      const handle = parameters[index]
      if (!handle) throw new DpmError('DPM_INTERNAL', `The backward pass gave no gradient for ${name}.`)
      named.set(name, Tensor.own(handle))
    }
    const ofInput = Tensor.own<'float32'>(input)
    return {
      input: ofInput,
      parameters: named,
      [Symbol.dispose]: () => {
        for (const tensor of [ofInput, ...named.values()]) tensor.dispose()
      },
    }
  }

  dispose(): void {
    this.output.dispose()
    callSync((binding) => binding.dispose(this.#handle))
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
