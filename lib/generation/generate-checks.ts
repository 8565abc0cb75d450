/** What the options of drawing are, before a model says whether they fit it. */
import { Images } from '../images/image-batch.js'
import { type Checks, checks, instanceOf, readOptions, required, whole } from '../options/call-options.js'
import { Tensor } from '../tensor/tensor.js'
import type { GenerateGuide, GenerateOptions } from './generate.js'

const images = instanceOf('Images', Images)

export const generateChecks: Checks<GenerateOptions> = {
  count: whole(1, 2 ** 32),
  sampler: checks.any,
  steps: checks.any,
  spacing: checks.any,
  finalLevel: checks.any,
  seed: checks.any,
  classes: checks.list,
  guidance: checks.any,
  weaker: { what: 'a model, such as another Diffusion,', fits: isModel },
  guides: checks.list,
  image: checks.object,
  inpaint: checks.object,
  initial: instanceOf('a Tensor', Tensor),
  lowResolution: images,
  samples: checks.numbers,
  first: whole(0, 2 ** 32 - 1),
  // What native code takes at a time.
  chunk: whole(1, 2 ** 20),
  allowSignal: checks.flag,
  signal: checks.signal,
}

/** Its range is said where the levels of the run are known. */
const strength = required({ what: 'a number above 0, at most 1,', fits: (value) => typeof value === 'number' })
const image: Checks<NonNullable<GenerateOptions['image']>> = {
  images: required(images),
  strength,
}
const inpaint: Checks<NonNullable<GenerateOptions['inpaint']>> = {
  known: required(images),
  mask: required({ what: `${checks.numbers.what} or Images`, fits: isMask }),
}
const guide: Checks<GenerateGuide> = { gradient: required(checks.callback), scale: checks.number }

function isMask(value: unknown): boolean {
  return value instanceof Images || checks.numbers.fits(value)
}

function isModel(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as { source?: unknown }).source === 'object'
}

/**
 * Options of drawing as a caller gave them.
 * @throws DpmError DPM_INVALID_OPTION for an unknown name, with the nearest one that there is, and for a value of another kind.
 */
export function readGenerateOptions(given: GenerateOptions | undefined): GenerateOptions {
  const options = readOptions('the options of sampling', given, generateChecks)
  const { guides } = options
  return {
    ...options,
    ...(options.image && { image: readOptions('the options of sampling', options.image, image, 'image.') }),
    ...(options.inpaint && { inpaint: readOptions('the options of sampling', options.inpaint, inpaint, 'inpaint.') }),
    ...(guides && {
      guides: Array.from(guides, (one, i) => readOptions('the options of sampling', one, guide, `guides.${i}.`)),
    }),
  }
}
