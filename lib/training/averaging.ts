/**
 * Averaged copies of the network (EMA): average = decay * average + (1 - decay) * weights after each update. Here is
 * the decay of each update; the averaging itself is native.
 *
 * The step is the 1-based number of the update that has just been made.
 */
import * as z from 'zod'
import { powerOf } from './power-profile.js'

const decay = z.number().min(0).max(1)

export const averagingSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('constant'),
    decay: decay.default(0.9999).describe('The same at every update (DDPM, improved DDPM)'),
  }),
  z.strictObject({
    kind: z.literal('warmup'),
    decay: decay.default(0.9999).describe('Highest decay, approached as (1 + n) / (10 + n) (score-SDE)'),
  }),
  z.strictObject({
    kind: z.literal('half-life'),
    halfLifeImages: z.number().positive().default(500_000).describe('Images after which a weight counts half (EDM)'),
    rampup: z
      .number()
      .positive()
      .optional()
      .describe('The half-life is at most this share of the images seen so far (EDM: 0.05)'),
  }),
  z.strictObject({
    kind: z.literal('power'),
    deviation: z
      .number()
      .gt(0)
      .lte(0.288)
      .default(0.05)
      .describe('Width of the averaging profile as a share of the run so far (EDM2: 0.05, 0.10)'),
  }),
  z.strictObject({
    kind: z.literal('inverse-power'),
    inverseGamma: z.number().positive().default(1).describe('Updates after which averaging sets in (k-diffusion)'),
    power: z
      .number()
      .positive()
      .default(2 / 3)
      .describe('How fast the decay rises'),
    decay: decay.default(0.9999).describe('Highest decay'),
  }),
])
export type AveragingSettings = z.output<typeof averagingSchema>

/** The averaged copies of a run; an empty list keeps none. */
export const averagingsSchema = z.array(averagingSchema)

export interface Averaging {
  /**
   * The decay of an update, 0 … 1.
   * @param step 1-based number of the update; `batch` its images.
   */
  decayAt(step: number, batch: number): number
}

type Formula<Kind> = (settings: Extract<AveragingSettings, { kind: Kind }>) => Averaging['decayAt']

const formulas: { readonly [Kind in AveragingSettings['kind']]: Formula<Kind> } = {
  constant:
    ({ decay }) =>
    () =>
      decay,

  /** score-SDE, models/ema.py: min(d, (1 + n) / (10 + n)), n = updates including this one. */
  warmup:
    ({ decay }) =>
    (step) =>
      Math.min(decay, (1 + step) / (10 + step)),

  /** EDM, training/training_loop.py: 0.5^(batch / half-life), with the images seen before this update. */
  'half-life':
    ({ halfLifeImages, rampup }) =>
    (step, batch) => {
      const seenImages = (step - 1) * batch
      const halfLife = rampup === undefined ? halfLifeImages : Math.min(halfLifeImages, rampup * seenImages)
      return 0.5 ** (batch / Math.max(halfLife, 1e-8))
    },

  /** EDM2, arXiv 2312.02696 §3: (1 - 1/t)^(gamma + 1), t = updates including this one; the first copies the weights. */
  power: ({ deviation }) => {
    const gamma = powerOf(deviation)
    return (step) => (1 - 1 / step) ** (gamma + 1)
  },

  /** k-diffusion, utils.py EMAWarmup: 1 - (1 + n / inverseGamma)^-power, n = updates before this one. */
  'inverse-power':
    ({ inverseGamma, power, decay }) =>
    (step) =>
      Math.min(decay, 1 - (1 + (step - 1) / inverseGamma) ** -power),
}

/** More of the first weights than this in an average at the end of a run, and it is not yet an average of what was learned. */
const largestRest = 0.1

/** Fewer updates are a trial, not a training. */
const shortestTraining = 100

/**
 * What is to be said of averages that cannot warm up within the budget: of each, the share that its first weights still have
 * after the last update, which is the product of its decays.
 */
export function averagingRemarks(
  averagings: readonly AveragingSettings[],
  { batch, totalSteps = 0 }: { readonly batch: number; readonly totalSteps: number | undefined },
): string[] {
  return averagings.flatMap((settings, index) => {
    const averaging = createAveraging(settings)
    let rest = 1
    for (let step = 1; step <= totalSteps && rest > largestRest; step++) rest *= averaging.decayAt(step, batch)
    if (rest <= largestRest || totalSteps < shortestTraining) return []
    return [
      `The averaged copy ${index} (${settings.kind}) is still ${Math.round(100 * rest)} % the weights that training began with after the ${totalSteps} steps of the budget${index === 0 ? ', and images are drawn from it' : ''}. Take a smaller decay or half-life, or {"kind": "warmup"}, in \`training.averaging\`.`,
    ]
  })
}

export function createAveraging(settings: AveragingSettings): Averaging {
  const formula = formulas[settings.kind] as Formula<AveragingSettings['kind']>
  return { decayAt: formula(settings) }
}
