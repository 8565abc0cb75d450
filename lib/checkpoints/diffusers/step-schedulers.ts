/** Schedulers of diffusers that step from one time to another: DDPM, DDIM and PNDM, with their own defaults. */
import * as z from 'zod'
import { anyPrediction, defineScheduler, diffusionOf, few, learnedRange, type Scheduler } from './define-scheduler.js'
import {
  betaKeys,
  clipKeys,
  flag,
  predictionKey,
  spacingKeys,
  spacingOf,
  thresholdKeys,
  timestepSpacings,
} from './scheduler-keys.js'

const rescaled = { rescale_betas_zero_snr: flag(false) }

/** Whether the last step ends at the clean image, or at the noise of time 0. */
const endsAtOne = (fallback: boolean) => ({ set_alpha_to_one: flag(fallback) })

function finalOf({ set_alpha_to_one: isClean }: { readonly set_alpha_to_one: boolean }): 'clean' | 'least-noise' {
  return isClean ? 'clean' : 'least-noise'
}

const divided =
  'Where the steps do not divide the times, diffusers steps to other times than it asks at next; here every step ends where the next begins.'

const ddim = {
  ...betaKeys(),
  ...anyPrediction,
  ...clipKeys(true),
  ...thresholdKeys,
  ...endsAtOne(true),
  // Not linspace: it steps by T // steps there, which is no distance of its times.
  ...spacingKeys('leading', ['leading', 'trailing']),
  ...rescaled,
}

const readDdpm = defineScheduler(
  z.looseObject({
    ...betaKeys(['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid']),
    ...anyPrediction,
    // Before 0.9.
    predict_epsilon: z.boolean().nullable().optional(),
    ...clipKeys(true),
    ...thresholdKeys,
    variance_type: z.enum(['fixed_small', 'fixed_small_log', 'fixed_large', 'learned_range']).default('fixed_small'),
    ...spacingKeys('leading', timestepSpacings),
    ...rescaled,
  }),
  (config) => {
    const { variance_type: variance, steps_offset: offset, timestep_spacing: kind } = config
    const variances = {
      fixed_small: { variance: 'fixed-small' },
      fixed_small_log: { variance: 'fixed-small' },
      fixed_large: { variance: 'fixed-large' },
      learned_range: learnedRange,
    } as const
    const endsLate = kind === 'trailing' || (kind === 'leading' && offset > 0)
    const isNoisy = endsLate && !variance.startsWith('fixed_small')
    return {
      diffusion: {
        ...diffusionOf(config),
        ...(config.predict_epsilon === false ? { prediction: 'clean' } : {}),
        ...variances[variance],
      },
      sampler: 'ddpm',
      spacing: spacingOf(config),
      steps: kind === 'leading' && offset > 0 ? few(config) : config.num_train_timesteps,
      notes: isNoisy
        ? ['With fewer steps than times DDPMScheduler adds noise in the last step too; here the last step adds none.']
        : [],
    }
  },
)

const readDdim = defineScheduler(z.looseObject(ddim), (config) => ({
  diffusion: diffusionOf(config),
  sampler: { kind: 'ddim', direction: 'unclipped' },
  spacing: spacingOf(config),
  steps: few(config),
  finalLevel: finalOf(config),
  notes: config.timestep_spacing === 'trailing' ? [divided] : [],
}))

export const stepSchedulers = {
  DDPMScheduler: readDdpm,
  // Steps of many images at once, of the same numbers.
  DDPMParallelScheduler: readDdpm,
  DDIMScheduler: readDdim,
  DDIMParallelScheduler: readDdim,
  DDIMInverseScheduler: defineScheduler(z.looseObject(ddim), (config) => ({
    diffusion: diffusionOf(config),
    sampler: { kind: 'ddim', direction: 'unclipped' },
    spacing: spacingOf(config),
    steps: few(config),
    finalLevel: finalOf(config),
    notes: [
      'DDIMInverseScheduler goes from images to their noise: `Diffusion.invert` does. Images are drawn with DDIM.',
    ],
  })),
  PNDMScheduler: defineScheduler(
    z.looseObject({
      ...betaKeys(),
      // Of others it would mix what is no noise yet.
      prediction_type: predictionKey('epsilon'),
      skip_prk_steps: flag(false),
      ...endsAtOne(false),
      ...spacingKeys('leading', ['leading', 'trailing']),
    }),
    (config) => ({
      diffusion: diffusionOf(config),
      sampler: { kind: 'pndm', start: config.skip_prk_steps ? 'heun' : 'runge-kutta' },
      spacing: spacingOf(config),
      steps: few(config),
      finalLevel: finalOf(config),
      notes: [
        ...(config.timestep_spacing === 'trailing' ? [divided] : []),
        ...(config.skip_prk_steps
          ? []
          : ['Where the stride of the times is odd, diffusers rounds the middle of the first steps down.']),
      ],
    }),
  ),
} as const satisfies Record<string, Scheduler>
