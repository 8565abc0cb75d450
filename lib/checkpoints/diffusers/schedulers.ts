/** The schedulers of diffusers that are ours number for number, with their own defaults. A new one is an entry here. */
import * as z from 'zod'
import type { DiffusionOptions } from '../../diffusion/diffusion-options.js'
import { parseOptions } from '../../options/options.js'
import type { SamplerOptions } from '../../sampling/samplers.js'
import type { SpacingOptions } from '../../sampling/spacings/list.js'
import type { SchedulerReading } from './scheduler-config.js'
import {
  betaKeys,
  clipKeys,
  clipOf,
  flag,
  only,
  predictionKey,
  predictions,
  scheduleOf,
  sigmaKeys,
  sigmaSpacing,
  sigmaSpacingOf,
  solverSpacingOf,
  spacingKeys,
  spacingOf,
  thresholdKeys,
  timestepSpacings,
} from './scheduler-keys.js'

export interface Scheduler {
  /** What it reads. */
  readonly keys: readonly string[]
  read(config: unknown, place: string): SchedulerReading
}

interface Made {
  readonly diffusion: DiffusionOptions
  readonly sampler: SamplerOptions
  readonly spacing: SpacingOptions
  readonly steps: number
  readonly notes?: readonly string[]
}

function defineScheduler<Schema extends z.ZodObject>(
  schema: Schema,
  make: (config: z.output<Schema>) => Made,
): Scheduler {
  return {
    keys: Object.keys(schema.shape),
    read(config, place) {
      const { diffusion, sampler, spacing, steps, notes = [] } = make(parseOptions(schema, config, place))
      return { diffusion, sampling: { sampler, spacing, steps }, notes }
    },
  }
}

type Common = Parameters<typeof scheduleOf>[0] &
  Parameters<typeof clipOf>[0] & { prediction_type: keyof typeof predictions }

/** Of the variance, which only DDPM has a word for, DDPM's default. */
function diffusionOf(config: Common): DiffusionOptions {
  return {
    schedule: scheduleOf(config),
    prediction: predictions[config.prediction_type],
    clip: clipOf(config),
    variance: 'fixed-small',
    timeLabel: 'step',
  }
}

/** Steps of a run where the pipeline's call does not say: a choice of that call there. */
const few = ({ num_train_timesteps: times }: { num_train_timesteps: number }): number => Math.min(50, times)

const anyPrediction = { prediction_type: predictionKey('epsilon', 'sample', 'v_prediction') }
const rescaled = { rescale_betas_zero_snr: flag(false) }
const unscaled = {
  rescale_betas_zero_snr: only(
    false,
    'its solver would begin at alpha² = 2^-24, and a run here where no signal is left',
  ),
}
const cleanEnd = { final_sigmas_type: only('zero', 'here a run ends at the clean image') }
const noFlow = { use_flow_sigmas: only(false, 'flow matching is not imported') }
const endsAtOne = (fallback: boolean) => ({
  set_alpha_to_one: z
    .boolean()
    .default(fallback)
    .refine((given) => given, {
      error: `Expected true (here a run ends at the clean image; absent it is ${fallback})`,
    }),
})

const divided =
  'Where the steps do not divide the times, diffusers steps to other times than it asks at next; here every step ends where the next begins.'
const wholeLabels =
  'diffusers tells the network the nearest whole times of these sigmas; here it is told those between.'
const startsAtSigma = (kind: string): string[] =>
  kind === 'leading'
    ? []
    : ['diffusers begins with noise of deviation sigma over sqrt(sigma² + 1), a little below 1; here it is 1.']

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

/** Only `linspace` reaches from the first time to the last, as these spacings do here. */
function spreadsAll(config: Parameters<typeof sigmaSpacing>[0] & { timestep_spacing: string }): boolean {
  return config.timestep_spacing === 'linspace' || sigmaSpacing(config) === undefined
}
const spreadsAllError = {
  path: ['timestep_spacing'],
  error: 'Expected linspace with karras, exponential or beta sigmas (here they reach from the last time to the first)',
}

/** A learned variance that a solver leaves aside. */
const solverVariance = { variance_type: z.enum(['learned_range']).nullable().default(null) }
const learnedRange = { variance: 'learned-range', bound: 'hybrid' } as const

export const schedulers = {
  DDPMScheduler: defineScheduler(
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
  ),
  DDIMScheduler: defineScheduler(z.looseObject(ddim), (config) => ({
    diffusion: diffusionOf(config),
    sampler: { kind: 'ddim', direction: 'unclipped' },
    spacing: spacingOf(config),
    steps: few(config),
    notes: config.timestep_spacing === 'trailing' ? [divided] : [],
  })),
  DDIMInverseScheduler: defineScheduler(z.looseObject(ddim), (config) => ({
    diffusion: diffusionOf(config),
    sampler: { kind: 'ddim', direction: 'unclipped' },
    spacing: spacingOf(config),
    steps: few(config),
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
      notes: [
        ...(config.timestep_spacing === 'trailing' ? [divided] : []),
        ...(config.skip_prk_steps
          ? []
          : ['Where the stride of the times is odd, diffusers rounds the middle of the first steps down.']),
      ],
    }),
  ),
  DPMSolverMultistepScheduler: defineScheduler(
    z
      .looseObject({
        ...betaKeys(),
        ...anyPrediction,
        ...thresholdKeys,
        solver_order: z.int().min(1).max(3).default(2),
        algorithm_type: z.enum(['dpmsolver++', 'sde-dpmsolver++']).default('dpmsolver++'),
        solver_type: z.enum(['midpoint', 'heun']).default('midpoint'),
        lower_order_final: flag(true),
        // The last step, to the clean image, is Euler's anyway.
        euler_at_final: flag(false),
        ...sigmaKeys,
        use_lu_lambdas: flag(false),
        ...noFlow,
        flow_shift: z.unknown().optional(),
        ...cleanEnd,
        lambda_min_clipped: z
          .number()
          .or(z.literal(Number.NEGATIVE_INFINITY))
          .nullable()
          .default(Number.NEGATIVE_INFINITY)
          .refine((given) => given === null || given === Number.NEGATIVE_INFINITY, {
            error: 'Expected -Infinity (here no level is left out)',
          }),
        ...solverVariance,
        ...spacingKeys('linspace', timestepSpacings),
        ...unscaled,
        use_dynamic_shifting: only(false, 'flow matching is not imported'),
        time_shift_type: z.unknown().optional(),
      })
      .refine(({ algorithm_type: type, solver_order: order }) => type === 'dpmsolver++' || order < 3, {
        path: ['solver_order'],
        error:
          'Expected 1 or 2 with algorithm_type "sde-dpmsolver++" (of order 3 its last coefficient is another than here)',
      }),
    (config) => {
      const { solver_order: order, solver_type: solver } = config
      const isStochastic = config.algorithm_type === 'sde-dpmsolver++'
      const own = sigmaSpacing(config) ?? (config.use_lu_lambdas ? 'log-snr' : undefined)
      const second = isStochastic ? 'dpm++2m-sde' : 'dpm++2m'
      return {
        diffusion: { ...diffusionOf(config), ...(config.variance_type === null ? {} : learnedRange) },
        sampler:
          order === 1
            ? { kind: 'ddim', eta: isStochastic ? 1 : 0 }
            : order === 2
              ? { kind: second, solver }
              : { kind: 'dpm++3m', solver, curvature: 'half', lowerOrderFinal: config.lower_order_final },
        spacing: own ?? solverSpacingOf(config),
        steps: few(config),
        notes: own ? [wholeLabels] : [],
      }
    },
  ),
  UniPCMultistepScheduler: defineScheduler(
    z.looseObject({
      ...betaKeys(),
      ...anyPrediction,
      ...thresholdKeys,
      solver_order: z.int().min(1).max(3).default(2),
      predict_x0: only(true, 'here the clean image is what the solver interpolates'),
      solver_type: z.enum(['bh1', 'bh2']).default('bh2'),
      lower_order_final: flag(true),
      disable_corrector: z
        .array(z.int())
        .max(0, { error: 'Expected no steps (here the corrector is on in every step, or in none)' })
        .default([]),
      solver_p: z.null({ error: 'Expected null (here the predictor is its own)' }).default(null),
      ...sigmaKeys,
      ...noFlow,
      flow_shift: z.unknown().optional(),
      ...spacingKeys('linspace', timestepSpacings),
      ...cleanEnd,
      ...unscaled,
      use_dynamic_shifting: only(false, 'flow matching is not imported'),
      time_shift_type: z.unknown().optional(),
      sigma_min: z.null().default(null),
      sigma_max: z.null().default(null),
      shift_terminal: z.null().default(null),
    }),
    (config) => {
      const own = sigmaSpacing(config)
      return {
        diffusion: diffusionOf(config),
        sampler: {
          kind: 'unipc',
          order: config.solver_order,
          variant: config.solver_type,
          lowerOrderFinal: config.lower_order_final,
        },
        spacing: own ?? solverSpacingOf(config),
        steps: few(config),
        notes: own ? [wholeLabels] : [],
      }
    },
  ),
  EulerDiscreteScheduler: defineScheduler(
    z
      .looseObject({
        ...betaKeys(),
        ...anyPrediction,
        interpolation_type: only('linear', 'here sigma lies on a straight line between whole times'),
        ...sigmaKeys,
        sigma_min: z.null().default(null),
        sigma_max: z.null().default(null),
        ...spacingKeys('linspace', timestepSpacings),
        timestep_type: only('discrete', "EDM's scaling of the network is not imported"),
        ...unscaled,
        ...cleanEnd,
      })
      .refine(spreadsAll, spreadsAllError),
    (config) => ofSigmas(config, 'euler'),
  ),
  EulerAncestralDiscreteScheduler: defineScheduler(
    z.looseObject({
      ...betaKeys(),
      prediction_type: predictionKey('epsilon', 'v_prediction'),
      ...spacingKeys('linspace', timestepSpacings),
      ...unscaled,
    }),
    (config) => ofSigmas(config, 'euler-ancestral'),
  ),
  HeunDiscreteScheduler: defineScheduler(
    z
      .looseObject({
        ...betaKeys(undefined, 0.00085, 0.012),
        ...anyPrediction,
        ...sigmaKeys,
        ...clipKeys(false),
        ...spacingKeys('linspace', timestepSpacings),
      })
      .refine(spreadsAll, spreadsAllError),
    (config) => ofSigmas(config, 'heun'),
  ),
} as const satisfies Record<string, Scheduler>

type Sigmas = Common & Parameters<typeof sigmaSpacingOf>[0] & Partial<Parameters<typeof sigmaSpacing>[0]>

function ofSigmas(config: Sigmas, sampler: 'euler' | 'euler-ancestral' | 'heun'): Made {
  return {
    diffusion: diffusionOf(config),
    sampler,
    spacing: ownSigmas(config) ?? sigmaSpacingOf(config),
    steps: few(config),
    notes: startsAtSigma(config.timestep_spacing),
  }
}

function ownSigmas(config: Partial<Parameters<typeof sigmaSpacing>[0]>): SpacingOptions | undefined {
  const { use_karras_sigmas = false, use_exponential_sigmas = false, use_beta_sigmas = false } = config
  return sigmaSpacing({ use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas })
}
