/**
 * The learning rate of each update: a warm-up times a decay, a pure function of the step, so that a resumed run goes on
 * exactly as it would have.
 *
 * The step counts finished updates, as in the code of DDPM, score-SDE and EDM: with a warm-up the first update
 * therefore has learning rate 0, and only fills the optimizer's moments.
 */
import * as z from 'zod'
import { DpmError } from '../errors.js'

const decayNames = ['constant', 'linear', 'cosine', 'exponential', 'inverse-square-root'] as const

export const learningRateSchema = z
  .strictObject({
    peak: z.number().positive().default(2e-4).describe('Learning rate after the warm-up'),
    warmupSteps: z.number().min(0).default(0).describe('Updates over which it rises from 0, in a straight line'),
    decay: z.enum(decayNames).default('constant').describe('How it falls after the warm-up'),
    final: z.number().min(0).default(0).describe('Learning rate at the end of a linear, cosine or exponential decay'),
    perEpoch: z
      .boolean()
      .default(false)
      .describe('it falls only between epochs, as where a scheduler has a turn an epoch'),
    decaySteps: z
      .number()
      .positive()
      .optional()
      .describe('Update at which that end is reached; else the end of the budget'),
    referenceSteps: z
      .number()
      .positive()
      .default(70_000)
      .describe('Updates after which an inverse-square-root decay begins (EDM2: ref_batches)'),
  })
  .refine((rate) => rate.final <= rate.peak, { path: ['final'], error: 'Expected at most `peak`' })
  .refine((rate) => rate.decay !== 'exponential' || rate.final > 0, {
    path: ['final'],
    error: 'Expected a number above 0 (an exponential decay never reaches 0)',
  })
export type LearningRateSettings = z.output<typeof learningRateSchema>

/** @param step finished updates. */
export type LearningRate = (step: number) => number

/**
 * - constant: peak
 * - linear, cosine: from peak at the end of the warm-up to `final` at the end (cosine: arXiv 1608.03983 eq. 5)
 * - exponential: peak * (final / peak)^progress
 * - inverse-square-root: peak / sqrt(max(step / referenceSteps, 1)) (EDM2, arXiv 2312.02696)
 *
 * With `perEpoch` the step is that at which its epoch began: the first update of epoch e of E has peak (1 - e / E) by the linear decay.
 *
 * @param totalSteps updates of the whole run; undefined when its budget is in minutes.
 * @param stepsPerEpoch updates per pass over the data, a fraction too
 * @throws DpmError DPM_INVALID_OPTION when a decay needs an end and there is none.
 */
export function createLearningRate(
  settings: LearningRateSettings,
  totalSteps: number | undefined,
  stepsPerEpoch = 1,
): LearningRate {
  const { warmupSteps, perEpoch } = settings
  const decayed = decays[settings.decay](settings, totalSteps)
  // A rounding short of a whole epoch is one.
  const begun = (step: number): number => Math.floor(step / stepsPerEpoch + 1e-9) * stepsPerEpoch
  return (step) => (step < warmupSteps ? step / warmupSteps : 1) * decayed(perEpoch ? begun(step) : step)
}

type Decay = (settings: LearningRateSettings, totalSteps: number | undefined) => LearningRate

const decays: Readonly<Record<(typeof decayNames)[number], Decay>> = {
  constant:
    ({ peak }) =>
    () =>
      peak,
  linear: untilEnd(({ peak, final }, progress) => final + (peak - final) * (1 - progress)),
  cosine: untilEnd(({ peak, final }, progress) => final + ((peak - final) * (1 + Math.cos(Math.PI * progress))) / 2),
  exponential: untilEnd(({ peak, final }, progress) => peak * (final / peak) ** progress),
  'inverse-square-root':
    ({ peak, referenceSteps }) =>
    (step) =>
      peak / Math.sqrt(Math.max(step / referenceSteps, 1)),
}

/** A decay that is a function of its progress: 0 at the end of the warm-up, 1 at the end and ever after. */
function untilEnd(rate: (settings: LearningRateSettings, progress: number) => number): Decay {
  return (settings, totalSteps) => {
    const { warmupSteps, decaySteps: end = totalSteps } = settings
    if (end === undefined) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `A ${settings.decay} decay of the learning rate needs to know its end, and the budget is in minutes only. ` +
          'Give the budget in steps, epochs or images, or set `learningRate.decaySteps`.',
      )
    }
    const length = end - warmupSteps
    return (step) => rate(settings, length > 0 ? Math.min(1, Math.max(0, (step - warmupSteps) / length)) : 0)
  }
}
