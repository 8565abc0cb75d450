/** Drawing images with a native network: from what a caller asks to a recorded program and its run. */
import type { ImageShape } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { createGuidance, type GuidanceOptions, guidanceDefinition, parseGuidance } from '../diffusion/guidance/list.js'
import { isLearned } from '../diffusion/posterior.js'
import { requireNoise } from '../diffusion/schedule.js'
import { DpmError, expected, show } from '../errors.js'
import type { Images } from '../images/image-batch.js'
import type { NativeProgress, NetworkHandle } from '../native/binding.js'
import { call } from '../native/call.js'
import type { Precision } from '../native/device.js'
import { nameList, nearest } from '../options/options.js'
import { type Seed, seedNumber } from '../options/seed.js'
import { noisePurposes } from '../random/purposes.js'
import { requireRoom } from '../room.js'
import { type FinalLevel, finalScale, selectLevels } from '../sampling/levels.js'
import type { Program } from '../sampling/program.js'
import type { RecordContext } from '../sampling/recorder.js'
import { lastLevels } from '../sampling/sample.js'
import { parseSampler, recordSampler, type SamplerOptions, samplerDefinition } from '../sampling/samplers.js'
import { type SamplingSettings, withDefaults } from '../sampling/sampling-defaults.js'
import type { SpacingOptions } from '../sampling/spacings/list.js'
import { Tensor } from '../tensor/tensor.js'
import { AdaptiveRun, adaptiveSteps } from './adaptive-run.js'
import type { Condition } from './conditions/condition.js'
import { readGenerateOptions } from './generate-checks.js'
import { inChunks } from './guides/in-chunks.js'
import { toldClasses, toldOf } from './guides/told.js'
import { maskTensor, pictureTensor } from './pictures.js'
import { type Guide, ProgramRun } from './program-run.js'
import { chunkOf, countOf } from './run-size.js'

/** What is drawn from: a network with everything that says how to read its output. */
export interface Source {
  readonly network: NetworkHandle
  readonly device: string
  readonly precision: Precision
  readonly process: DiffusionProcess
  readonly image: ImageShape
  /** Class names; empty for an unconditional network. */
  readonly classes: readonly string[]
  /** Whether the network knows "no class". */
  readonly nullClass: boolean
  /** Channels of the image that the network sees beside x; 0 for none. */
  readonly conditionChannels: number
  /** How that image is made of a picture; without it pictures are taken as they are. */
  readonly condition?: Condition | undefined
  /** What is taken for options that are absent. */
  readonly sampling?: SamplingSettings | undefined
}

/** Something to be had more of: the gradient of its logarithm moves every step. */
export interface GenerateGuide {
  /**
   * ∇ log p(wanted | x) at a level, N×C×H×W: x = alpha · clean + sigma · noise. It is asked about a chunk of images at a time. See
   * `guideOnClean` and `guideByClassifier`.
   */
  readonly gradient: Guide
  /** 1 when absent. */
  readonly scale?: number | undefined
}

export interface GenerateOptions {
  /** Number of images; 16 when absent. */
  readonly count?: number | undefined
  /** Kind or options of the sampler; what the model names, else `ddim`, when absent. */
  readonly sampler?: SamplerOptions | undefined
  /** Steps of the sampler; what the model names, else every time of a discrete schedule, 50 where time is continuous. */
  readonly steps?: number | undefined
  readonly spacing?: SpacingOptions | undefined
  /**
   * Where the run ends: at the clean image, or with x at the schedule's least noise, as it is or divided by its alpha; what the model
   * names, else the clean image, when absent.
   */
  readonly finalLevel?: FinalLevel | undefined
  /** From 0 to 2^64 - 1; above 2^53 - 1 a bigint, or digits. 0 when absent. */
  readonly seed?: Seed | undefined
  /**
   * Indices or names, dealt out to the images in turn. Without them the network draws unconditionally; one that has no null class is
   * told every class in turn by the images' noise keys: key modulo the number of classes, so that image k has its class in any company.
   */
  readonly classes?: readonly (number | string)[] | undefined
  /** Guidance, or the scale of classifier-free guidance; 1, the plain conditional network, when absent. */
  readonly guidance?: number | GuidanceOptions | undefined
  /** The weaker model that autoguidance (`{ kind: 'auto' }`) moves away from: of the same process, image and classes. */
  readonly weaker?: { readonly source: Source } | undefined
  readonly guides?: readonly GenerateGuide[] | undefined
  /**
   * Begin with these images (one for all, or one each) instead of noise, mixed with noise at the level that is `strength`
   * (above 0, at most 1) of the run's steps away from the end.
   */
  readonly image?: { readonly images: Images; readonly strength: number } | undefined
  /**
   * Keep what is known of these images where the mask is 0, draw where it is 1, and blend between. A mask has the images' height and
   * width: H×W numbers, N×H×W, or grey images (0 … 255).
   */
  readonly inpaint?: { readonly known: Images; readonly mask: ArrayLike<number> | Images } | undefined
  /** x at the first level as it is, N×C×H×W float32: of an inverted image, or between two others' noise. */
  readonly initial?: Tensor | undefined
  /**
   * The images that a super-resolution network makes larger: small ones, or of the size of its output, which are made small
   * first.
   */
  readonly lowResolution?: Images | undefined
  /** Noise keys of the images, whole numbers; `first` … first+count-1 when absent. Image k is the same in any company. */
  readonly samples?: readonly number[] | undefined
  /**
   * Number of the first image; 0 when absent. Images first … first+count-1 are those, of the same noise and the same classes, that a run
   * from 0 on draws there: to go on where another ended.
   */
  readonly first?: number | undefined
  /** Images per network call. With a chunk given, an image's bytes do not depend on how many are drawn with it. */
  readonly chunk?: number | undefined
  /** Sample even where the schedule ends with signal left, so that its own noise is not what training saw there. */
  readonly allowSignal?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** How a run of a prepared generation is driven: a program on the native loop, or an adaptive sampler. */
export interface GenerationRun extends Disposable {
  /** Runs until `emits` more steps have passed, or to the end. */
  advance(
    emits: number,
    options: {
      readonly signal?: AbortSignal | undefined
      readonly onProgress?: ((progress: NativeProgress) => void) | undefined
    },
  ): Promise<NativeProgress & { readonly done: boolean }>
  /** What the last step showed, or the output: N×C×H×W. */
  read(which: 'x' | 'clean' | 'output'): Promise<Tensor<'float32'>>
}

/** A run that has been prepared: its program is recorded, its first noise drawn. */
export interface Generation extends Disposable {
  /** Undefined with an adaptive sampler. */
  readonly program: Program | undefined
  /** Steps that progress counts. */
  readonly steps: number
  readonly run: GenerationRun
  readonly count: number
  /** Class index of each image, or null. */
  readonly classes: Int32Array | null
}

/** Records the program that the options ask for. @throws DpmError DPM_INVALID_OPTION, DPM_INVALID_ARGUMENT */
export function recordGeneration(source: Omit<Source, 'network'>, asked: GenerateOptions): Program {
  const options = withDefaults(readGenerateOptions(asked), source.sampling)
  return recordSampler(parseSampler(options.sampler ?? 'ddim'), recordContext(source, options))
}

/** Steps of the run that the options ask for, as progress counts them. */
export function stepsOf(source: Omit<Source, 'network'>, asked: GenerateOptions): number {
  const options = withDefaults(readGenerateOptions(asked), source.sampling)
  const adaptive = samplerDefinition(parseSampler(options.sampler ?? 'ddim')).adaptive
  return adaptive ? adaptiveSteps : recordGeneration(source, options).steps
}

/** What the options say about a run, whichever way it is made. @throws DpmError naming the options that do not fit. */
export function recordContext(source: Omit<Source, 'network'>, options: GenerateOptions): RecordContext {
  const { process } = source
  const { image, inpaint, initial, guides = [], weaker } = options
  const conditional = options.classes !== undefined || takesEveryClass(source)
  const guidance = parseGuidance(options.guidance ?? 1)
  const definition = guidanceDefinition(guidance)
  const guided = definition.needsNull(guidance)
  if (!conditional && guided && guidance.scale !== 0) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`guidance\` ${guidance.scale} needs \`classes\` to guide towards. Name classes, or leave guidance out.`,
    )
  }
  if (conditional && guided && !source.nullClass) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`guidance\` ${guidance.scale} needs a network that was trained without its class too (\`network.nullClass\`), and this one was not. Use guidance 1.`,
    )
  }
  if (definition.networks > 0 && !weaker) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `Guidance "${guidance.kind}" moves away from a weaker model. Give one as \`weaker\`: an earlier checkpoint, or a smaller network.`,
    )
  }
  if (weaker) requireAlike(source, weaker.source)
  if (initial && (image || inpaint)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`initial\` and \`${image ? 'image' : 'inpaint'}\` both say where x begins. Give one of them.`,
    )
  }
  const all = selectLevels(process.schedule, options)
  const start = image ? 'image' : initial ? 'given' : 'noise'
  if (start === 'noise' && !options.allowSignal) requireNoise(process.schedule, all[0])
  return {
    schedule: process.schedule,
    levels: image ? lastLevels(all, image.strength) : all,
    prediction: process.prediction,
    label: process.label,
    clip: process.settings.clip,
    variance: process.settings.variance,
    learnsVariance: isLearned(process.settings.variance),
    condition: conditional ? 'given' : 'null',
    guidance: createGuidance(guidance),
    guides: guides.map(({ scale = 1 }) => ({ scale })),
    start,
    inpaint: inpaint !== undefined,
    finalScale: finalScale(process.schedule, options.finalLevel),
  }
}

/** A weaker model stands in for the sampled one at every level, so both must mean the same by them. */
function requireAlike(source: Omit<Source, 'network'>, weaker: Source): void {
  const { schedule, prediction, timeLabel, variance } = source.process.settings
  const other = weaker.process.settings
  const facts = {
    schedule: [schedule, other.schedule],
    prediction: [prediction, other.prediction],
    timeLabel: [timeLabel, other.timeLabel],
    'learned variance': [isLearned(variance), isLearned(other.variance)],
    image: [source.image, weaker.image].map(({ channels, height, width }) => [channels, height, width]),
    classes: [source.classes, weaker.classes],
  }
  for (const [name, [ours, theirs]] of Object.entries(facts)) {
    if (JSON.stringify(ours) === JSON.stringify(theirs)) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The weaker model has another ${name} (${JSON.stringify(theirs)}) than the sampled one (${JSON.stringify(ours)}). Autoguidance needs a model of the same kind.`,
    )
  }
}

/** Whether images are drawn of every class in turn where none is named: the network must be told one. */
export function takesEveryClass({ classes, nullClass }: Pick<Source, 'classes' | 'nullClass'>): boolean {
  return classes.length > 0 && !nullClass
}

/**
 * Class indices of `count` images from names or indices dealt out in turn.
 * @param keys noise keys of the images, which choose the class where none is named and the network must be told one; 0 … count-1
 *   when absent
 * @param first number of the first of them, if others come before
 * @throws DpmError DPM_INVALID_OPTION
 */
export function dealClasses(
  source: Pick<Source, 'classes' | 'nullClass'>,
  asked: readonly (number | string)[] | undefined,
  count: number,
  keys?: ArrayLike<number>,
  first = 0,
): Int32Array | null {
  const known = source.classes
  if (asked === undefined) {
    if (!takesEveryClass(source)) return null
    return Int32Array.from({ length: count }, (_, index) => (keys?.[index] ?? index) % known.length)
  }
  if (known.length === 0) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      '`classes` were given but the network is not class-conditional. Leave them out.',
    )
  }
  if (asked.length === 0) throw expected('at least one class', 'classes', asked, '', 'DPM_INVALID_OPTION')
  const indices = asked.map((one) => {
    const index = typeof one === 'string' ? known.indexOf(one) : one
    if (Number.isInteger(index) && index >= 0 && index < known.length) return index
    const near = typeof one === 'string' ? nearest(one, known) : undefined
    throw expected(
      `indices from 0 to ${known.length - 1} or names (${nameList(known)})`,
      'classes',
      one,
      near ? `Did you mean ${show(near)}?` : '',
      'DPM_INVALID_OPTION',
    )
  })
  return Int32Array.from({ length: count }, (_, index) => indices[(first + index) % indices.length] ?? 0)
}

/** Prepares a run. Dispose of it at the end. */
export async function startGeneration(source: Source, asked: GenerateOptions): Promise<Generation> {
  const options = withDefaults(readGenerateOptions(asked), source.sampling)
  const { first = 0 } = options
  const seed = seedNumber(options.seed ?? 0)
  const count = countOf(options)
  const elements = source.image.channels * source.image.height * source.image.width
  // x, what the sampler makes of it, what comes back.
  const cure = 'Draw fewer at a time: `sampleBatches`, or a smaller `count` with `first`.'
  requireRoom(12 * (count + (options.chunk ?? 0)) * elements, `${count} × ${elements} numbers`, cure)
  const samples = options.samples
    ? Float64Array.from(options.samples, Number)
    : new Float64Array(count).map((_, place) => first + place)
  for (const key of samples) {
    if (Number.isInteger(key) && key >= 0 && key < 2 ** 32) continue
    throw expected('whole numbers from 0 to 2^32 - 1', 'samples', key, '', 'DPM_INVALID_OPTION')
  }
  const context = recordContext(source, options)
  const settings = parseSampler(options.sampler ?? 'ddim')
  const definition = samplerDefinition(settings)
  // Before anything is drawn: what cannot be recorded must not cost anything.
  const program = definition.adaptive ? undefined : recordSampler(settings, context)
  const classes = dealClasses(source, options.classes, count, samples, first)
  using inputs = new Inputs()
  const x = await inputs.hold(firstNoise(source, options, seed, samples))
  const image =
    options.image && (await inputs.hold(pictureTensor(options.image.images, source.image, count, 'image.images')))
  const size = chunkOf(source.image, options)
  const runOptions = {
    chunk: size,
    classes,
    image: await inputs.hold(conditioningImage(source, options, count)),
    precision: source.precision,
    // An adaptive sampler asks about one image at a time anyway.
    guides: (options.guides ?? []).map(({ gradient }) => {
      const told = toldClasses(
        toldOf(gradient, (place) => first + place),
        classes,
      )
      return definition.adaptive ? told : inChunks(told, size)
    }),
  }
  const made = { count, classes, program, steps: program?.steps ?? adaptiveSteps }
  const weaker = options.weaker?.source.network
  if (definition.adaptive) {
    const run = await AdaptiveRun.create(source, weaker, definition, settings, context, { x, image }, runOptions)
    return { ...made, run, [Symbol.dispose]: () => run.dispose() }
  }
  const { inpaint } = options
  const run = await ProgramRun.create(
    [source.network, ...(weaker ? [weaker] : [])],
    program ?? recordSampler(settings, context),
    {
      x,
      ...(image && { image }),
      ...(inpaint && {
        known: await inputs.hold(pictureTensor(inpaint.known, source.image, count, 'inpaint.known')),
        mask: await inputs.hold(maskTensor(inpaint.mask, source.image, count)),
      }),
    },
    { ...runOptions, seed, samples },
  )
  return { ...made, run, [Symbol.dispose]: () => run.dispose() }
}

/** Tensors that are needed until a run has been made. */
class Inputs implements Disposable {
  readonly #held: Tensor[] = []

  async hold<Held extends Tensor | undefined>(tensor: Held | Promise<Held>): Promise<Held> {
    const held = await tensor
    if (held) this.#held.push(held)
    return held
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#held) tensor.dispose()
  }
}

async function firstNoise(
  { image: { channels, height, width }, device }: Source,
  { initial, signal }: GenerateOptions,
  seed: number,
  samples: Float64Array,
): Promise<Tensor> {
  const shape = [samples.length, channels, height, width]
  if (!initial) {
    return Tensor.own(
      await call(signal, (binding) => binding.randomNormal(seed, noisePurposes.initial, 0, samples, shape, device)),
    )
  }
  if (initial.shape.join() !== shape.join()) {
    throw expected(`a tensor of shape ${shape.join('×')}`, 'initial', initial.shape.join('×'))
  }
  using float = await initial.to({ dtype: 'float32', device: 'cpu' })
  const values = await float.data()
  const bad = values.findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) throw expected('finite numbers', 'initial', values[bad], `That is element ${bad}.`)
  return float.to({ device })
}

/** What a super-resolution network sees beside x. */
function conditioningImage(
  { conditionChannels, condition, image }: Source,
  { lowResolution }: GenerateOptions,
  count: number,
): Tensor | undefined {
  if (conditionChannels === 0 && !lowResolution) return undefined
  if (conditionChannels === 0) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      '`lowResolution` was given but the network sees no image beside x (`network.conditionChannels` is 0). Leave it out.',
    )
  }
  if (!lowResolution) {
    throw new DpmError('DPM_INVALID_OPTION', 'The network makes images larger: give them as `lowResolution`.')
  }
  if (condition) return condition.ofPictures(lowResolution, count)
  return pictureTensor(lowResolution, { ...image, channels: conditionChannels }, count, 'lowResolution')
}
