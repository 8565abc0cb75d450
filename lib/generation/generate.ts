/** Drawing images with a native network: from what a caller asks to a recorded program and its run. */
import type { ImageShape } from '../datasets/data-set.js'
import type { DiffusionProcess } from '../diffusion/diffusion-options.js'
import { createGuidance, type GuidanceOptions, guidanceDefinition, parseGuidance } from '../diffusion/guidance/list.js'
import { isLearned } from '../diffusion/posterior.js'
import { DpmError, expected } from '../errors.js'
import type { NetworkHandle } from '../native/binding.js'
import { call } from '../native/call.js'
import type { Precision } from '../native/device.js'
import { nearest } from '../options/options.js'
import { noisePurposes } from '../random/purposes.js'
import { selectLevels } from '../sampling/levels.js'
import type { Program } from '../sampling/program.js'
import { parseSampler, recordSampler, type SamplerOptions } from '../sampling/samplers.js'
import type { SpacingOptions } from '../sampling/spacings/list.js'
import { Tensor } from '../tensor/tensor.js'
import { ProgramRun } from './program-run.js'

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
}

export interface GenerateOptions {
  /** Number of images; 16 when absent. */
  readonly count?: number | undefined
  /** Kind or options of the sampler; `ddim` when absent. */
  readonly sampler?: SamplerOptions | undefined
  /** Steps of the sampler; every time of the schedule when absent. */
  readonly steps?: number | undefined
  readonly spacing?: SpacingOptions | undefined
  /** Whole number from 0; 0 when absent. */
  readonly seed?: number | undefined
  /** Indices or names, dealt out to the images in turn; without classes the network draws unconditionally. */
  readonly classes?: readonly (number | string)[] | undefined
  /** Guidance, or the scale of classifier-free guidance; 1, the plain conditional network, when absent. */
  readonly guidance?: number | GuidanceOptions | undefined
  /** Noise keys of the images, whole numbers; 0 … count-1 when absent. Image k is the same in any company. */
  readonly samples?: readonly number[] | undefined
  /** Images per network call. With a chunk given, an image's bytes do not depend on how many are drawn with it. */
  readonly chunk?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** A run that has been prepared: its program is recorded, its first noise drawn. */
export interface Generation extends Disposable {
  readonly program: Program
  readonly run: ProgramRun
  readonly count: number
  /** Class index of each image, or null. */
  readonly classes: Int32Array | null
}

const largestChunk = 64

/** Records the program that the options ask for. @throws DpmError DPM_INVALID_OPTION, DPM_INVALID_ARGUMENT */
export function recordGeneration(source: Source, options: GenerateOptions): Program {
  const { process } = source
  const conditional = options.classes !== undefined
  const guidance = parseGuidance(options.guidance ?? 1)
  const guided = guidanceDefinition(guidance).needsNull(guidance)
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
  return recordSampler(parseSampler(options.sampler ?? 'ddim'), {
    schedule: process.schedule,
    levels: selectLevels(process.schedule, options),
    prediction: process.prediction,
    label: process.label,
    clip: process.settings.clip,
    variance: process.settings.variance,
    learnsVariance: isLearned(process.settings.variance),
    condition: conditional ? 'given' : 'null',
    guidance: createGuidance(guidance),
    guides: [],
    start: 'noise',
    inpaint: false,
  })
}

/** Class indices of `count` images from names or indices dealt out in turn. @throws DpmError DPM_INVALID_OPTION */
export function dealClasses(
  source: Source,
  asked: readonly (number | string)[] | undefined,
  count: number,
): Int32Array | null {
  const known = source.classes
  if (asked === undefined) {
    if (known.length === 0 || source.nullClass) return null
    return Int32Array.from({ length: count }, (_, index) => index % known.length)
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
      `indices from 0 to ${known.length - 1} or names (${known.slice(0, 20).join(', ')}${known.length > 20 ? ' …' : ''})`,
      'classes',
      one,
      near ? `Did you mean "${near}"?` : '',
      'DPM_INVALID_OPTION',
    )
  })
  return Int32Array.from({ length: count }, (_, index) => indices[index % indices.length] ?? 0)
}

/** Prepares a run. Dispose of it at the end. */
export async function startGeneration(source: Source, options: GenerateOptions): Promise<Generation> {
  const { seed = 0, chunk } = options
  const count = options.count ?? options.samples?.length ?? 16
  for (const [name, value, least] of [
    ['count', count, 1],
    ['seed', seed, 0],
    ['chunk', chunk ?? 1, 1],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least) {
      throw expected(`a whole number of at least ${least}`, name, value, '', 'DPM_INVALID_OPTION')
    }
  }
  const samples = Float64Array.from(options.samples ?? Array.from({ length: count }, (_, index) => index))
  if (samples.length !== count)
    throw expected(`${count} noise keys`, 'samples', samples.length, '', 'DPM_INVALID_OPTION')
  const program = recordGeneration(source, options)
  const classes = dealClasses(source, options.classes, count)
  const { channels, height, width } = source.image
  using x = Tensor.own(
    await call(options.signal, (binding) =>
      binding.randomNormal(seed, noisePurposes.initial, 0, samples, [count, channels, height, width], source.device),
    ),
  )
  const run = await ProgramRun.create(
    [source.network],
    program,
    { x },
    {
      seed,
      samples,
      chunk: chunk ?? Math.min(count, largestChunk),
      classes,
      precision: source.precision,
    },
  )
  return { program, run, count, classes, [Symbol.dispose]: () => run.dispose() }
}
