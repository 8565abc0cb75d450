/** The flags of `dpm-torch sample` that begin from images, keep parts of them, mix noise, or guide by another model. */
import type { Command } from 'commander'
import { DpmError } from '../errors.js'
import type { Diffusion } from '../generation/diffusion.js'
import { dealClasses, type GenerateOptions } from '../generation/generate.js'
import type { Images } from '../images/image-batch.js'
import type { PictureShape } from '../images/read-picture.js'
import { finiteNumber, type TrustFlags } from './flags.js'
import { classesOf } from './sample-classes.js'

export interface EditFlags extends TrustFlags {
  readonly image?: string
  readonly strength: number
  readonly known?: string
  readonly mask?: string
  readonly lowResolution?: string
  readonly between?: string
  readonly weaker?: string
  readonly classifier?: string
  readonly classifierScale: number
  readonly classes?: readonly string[]
  readonly guidanceLow?: number
  readonly guidanceHigh?: number
  readonly guidanceRescale?: number
  readonly allowSignal?: boolean
}

export function addEditFlags(command: Command): Command {
  return command
    .option('--image <file>', 'begin with this picture, mixed with noise, instead of noise alone')
    .option('--strength <share>', 'how far back --image goes: 1 all the way to noise', finiteNumber, 0.6)
    .option('--known <file>', 'keep this picture where --mask is black, and draw where it is white')
    .option('--mask <file>', 'where to draw: white; black is kept, grey blends; of the same sides as --known')
    .option('--low-resolution <file>', 'the picture that a super-resolution model makes larger')
    .option('--between <keys>', 'two noise keys, such as 3,7: draws --count images on the way from one to the other')
    .option('--weaker <run>', 'guide away from this weaker model instead of the unconditional one (autoguidance)')
    .option(
      '--classifier <run>',
      'guide towards --classes by this classifier of noisy images; without --classes towards all of its own in turn',
    )
    .option('--classifier-scale <scale>', 'how strongly --classifier guides', finiteNumber, 1)
    .option('--guidance-low <ratio>', 'no guidance where sigma / alpha is this or less', finiteNumber)
    .option('--guidance-high <ratio>', 'no guidance where sigma / alpha is more', finiteNumber)
    .option('--allow-signal', 'start from noise although the schedule ends with signal left')
    .option('--guidance-rescale <share>', 'share scaled back to the deviation of the unguided output', finiteNumber)
}

/** What a run is given because of the flags; dispose of it after the run. */
export interface Edits extends Disposable {
  readonly options: Partial<GenerateOptions>
}

/** Reads the pictures and models that the flags name. @throws DpmError naming the flags that do not fit together. */
export async function resolveEdits(
  model: Diffusion,
  flags: EditFlags,
  base: GenerateOptions,
  note: (text: string) => void,
): Promise<Edits> {
  if ((flags.known === undefined) !== (flags.mask === undefined)) {
    throw new DpmError('DPM_INVALID_OPTION', '--known and --mask belong together: what to keep, and where to draw.')
  }
  const { imageOf, notesOf, openPictureFile } = await import('../images/read-picture.js')
  const read = async (path: string, wanted: PictureShape, name: string): Promise<Images> => {
    const file = await openPictureFile(path)
    for (const text of notesOf(file, wanted, name)) note(text)
    return imageOf(file, wanted)
  }
  const { image: shape } = model
  const trust = flags.trustTorchScript ?? false
  const held: Disposable[] = []
  const options: { -readonly [Key in keyof GenerateOptions]?: GenerateOptions[Key] } = {}
  if (flags.allowSignal) options.allowSignal = true
  try {
    if (flags.image !== undefined) {
      options.image = { images: await read(flags.image, shape, '--image'), strength: flags.strength }
    }
    if (flags.known !== undefined && flags.mask !== undefined) {
      const { readMasked } = await import('../images/read-mask.js')
      const { known, mask, notes } = await readMasked(flags.known, flags.mask, shape)
      for (const text of notes) note(text)
      options.inpaint = { known, mask }
    }
    if (flags.lowResolution !== undefined) {
      const { condition, conditionChannels } = model.source
      const wanted = condition?.picture ?? { ...shape, channels: conditionChannels || shape.channels }
      options.lowResolution = await read(flags.lowResolution, wanted, '--low-resolution')
    }
    if (flags.between !== undefined) {
      const keys = flags.between.split(',').map(Number)
      if (keys.length !== 2 || !keys.every((key) => Number.isSafeInteger(key) && key >= 0)) {
        throw new DpmError(
          'DPM_INVALID_OPTION',
          `Expected two whole numbers, such as 3,7, for --between but received "${flags.between}".`,
        )
      }
      const { interpolateNoise } = await import('../generation/noise.js')
      const [from = 0, to = 0] = keys
      const seed = base.seed ?? 0
      using a = await model.noise({ seed, samples: [from] })
      using b = await model.noise({ seed, samples: [to] })
      const initial = await interpolateNoise(a, b, base.count ?? 8)
      held.push(initial)
      options.initial = initial
    }
    if (flags.classifier !== undefined) {
      const { NoisyClassifier } = await import('../generation/noisy-classifier.js')
      const { device, precision } = model.source
      const classifier = await NoisyClassifier.load(flags.classifier, { device, precision, trust })
      held.push(classifier)
      const gradient = classifier.guide({ classes: guidedClasses(model, classifier.classes, base, flags) })
      options.guides = [{ gradient, scale: flags.classifierScale }]
    }
    const interval = {
      ...(flags.guidanceLow === undefined ? {} : { low: flags.guidanceLow }),
      ...(flags.guidanceHigh === undefined ? {} : { high: flags.guidanceHigh }),
    }
    const scale = typeof base.guidance === 'number' ? { scale: base.guidance } : {}
    if (flags.weaker !== undefined) {
      const { Diffusion: Loader } = await import('../generation/diffusion.js')
      const weaker = await Loader.load(flags.weaker, {
        device: model.source.device,
        precision: model.source.precision,
        trust,
      })
      held.push(weaker)
      options.weaker = weaker
      options.guidance = { kind: 'auto', ...scale, ...interval }
    } else if (Object.keys(interval).length > 0 || flags.guidanceRescale !== undefined) {
      const rescale = flags.guidanceRescale === undefined ? {} : { rescale: flags.guidanceRescale }
      options.guidance = { kind: 'classifier-free', ...scale, ...interval, ...rescale }
    }
  } catch (error) {
    for (const one of held) one[Symbol.dispose]()
    throw error
  }
  return {
    options,
    [Symbol.dispose]: () => {
      for (const one of held) one[Symbol.dispose]()
    },
  }
}

/** The classes that a classifier guides towards: those that the network is told, or where it is told none the flag's own. */
function guidedClasses(
  model: Diffusion,
  known: readonly string[],
  base: GenerateOptions,
  flags: EditFlags,
): readonly (number | string)[] | undefined {
  const told = dealClasses(model.source, base.classes, base.classes?.length ?? model.classes.length)
  if (!base.classes || !told) return classesOf(known, flags.classes)
  if (known.length === model.classes.length) return [...told]
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `The model knows ${model.classes.length} classes and the classifier of --classifier ${known.length}: theirs are not the same. Take a classifier of the same data, or draw with --classes none.`,
  )
}
