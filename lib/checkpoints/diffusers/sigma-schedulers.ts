/** Schedulers of diffusers whose x is divided by alpha, with levels in sigma: Euler, Heun, KDPM2 and LMS, with their own defaults. */
import * as z from 'zod'
import type { FinalLevel } from '../../sampling/levels.js'
import type { SamplerOptions } from '../../sampling/samplers.js'
import {
  anyPrediction,
  type Common,
  defineScheduler,
  diffusionOf,
  few,
  type Made,
  type Scheduler,
} from './define-scheduler.js'
import {
  almostZeroTerminalSnr,
  betaKeys,
  clipKeys,
  only,
  predictionKey,
  sigmaKeys,
  sigmaSpacing,
  sigmaSpacingOf,
  spacingKeys,
  timestepSpacings,
} from './scheduler-keys.js'

const startsAtSigma = (kind: string): string[] =>
  kind === 'leading'
    ? []
    : ['diffusers begins with noise of deviation sigma over sqrt(sigma² + 1), a little below 1; here it is 1.']

const common = { ...betaKeys(), ...sigmaKeys, ...spacingKeys('linspace', timestepSpacings) }
const kdpm2 = {
  ...common,
  ...betaKeys(undefined, 0.00085, 0.012),
  prediction_type: predictionKey('epsilon', 'v_prediction'),
}

export const sigmaSchedulers = {
  EulerDiscreteScheduler: defineScheduler(
    z.looseObject({
      ...common,
      ...anyPrediction,
      interpolation_type: only(
        'linear',
        'the others tell the network times that are not those of their sigmas; here sigma lies on a straight line between whole times',
      ),
      sigma_min: z.number().positive().nullable().default(null),
      sigma_max: z.number().positive().nullable().default(null),
      timestep_type: only('discrete', "EDM's scaling of the network is not imported"),
      ...almostZeroTerminalSnr,
      final_sigmas_type: z.enum(['zero', 'sigma_min']).default('zero'),
    }),
    (config) =>
      ofSigmas(config, 'euler', 'between', config.final_sigmas_type === 'zero' ? 'clean' : 'least-noise-over-alpha'),
  ),
  EulerAncestralDiscreteScheduler: defineScheduler(
    z.looseObject({
      ...betaKeys(),
      prediction_type: predictionKey('epsilon', 'v_prediction'),
      ...spacingKeys('linspace', timestepSpacings),
      ...almostZeroTerminalSnr,
    }),
    (config) => ofSigmas(config, 'euler-ancestral'),
  ),
  HeunDiscreteScheduler: defineScheduler(
    z.looseObject({
      ...common,
      ...betaKeys(undefined, 0.00085, 0.012),
      ...anyPrediction,
      ...clipKeys(false),
    }),
    (config) => ofSigmas(config, 'heun'),
  ),
  KDPM2DiscreteScheduler: defineScheduler(z.looseObject(kdpm2), (config) =>
    ofSigmas(config, 'dpm2', config.use_karras_sigmas ? 'nearest' : 'between'),
  ),
  KDPM2AncestralDiscreteScheduler: defineScheduler(z.looseObject(kdpm2), (config) =>
    ofSigmas(config, 'dpm2-ancestral', config.use_karras_sigmas ? 'nearest' : 'between'),
  ),
  LMSDiscreteScheduler: defineScheduler(z.looseObject({ ...common, ...anyPrediction }), (config) =>
    ofSigmas(config, 'lms'),
  ),
} as const satisfies Record<string, Scheduler>

type Sigmas = Common &
  Parameters<typeof sigmaSpacingOf>[0] &
  Partial<Parameters<typeof sigmaSpacing>[0]> & {
    readonly sigma_min?: number | null
    readonly sigma_max?: number | null
  }

function ofSigmas(
  config: Sigmas,
  sampler: SamplerOptions,
  times: 'between' | 'nearest' = 'between',
  finalLevel: FinalLevel = 'clean',
): Made {
  return {
    diffusion: diffusionOf(config),
    sampler,
    spacing: ownSigmas(config, times) ?? sigmaSpacingOf(config),
    steps: few(config),
    finalLevel,
    notes: startsAtSigma(config.timestep_spacing),
  }
}

/** Levels spread in sigma lie between the first and the last that the times would have. */
function ownSigmas(config: Sigmas, times: 'between' | 'nearest') {
  const { use_karras_sigmas = false, use_exponential_sigmas = false, use_beta_sigmas = false } = config
  const { timestep_spacing: kind, steps_offset: offset, sigma_min: sigmaMin, sigma_max: sigmaMax } = config
  return sigmaSpacing(
    { use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas },
    {
      times,
      ...(kind === 'linspace' ? {} : { ends: kind, ...(kind === 'leading' ? { offset } : {}) }),
      ...(typeof sigmaMin === 'number' ? { sigmaMin } : {}),
      ...(typeof sigmaMax === 'number' ? { sigmaMax } : {}),
    },
  )
}
