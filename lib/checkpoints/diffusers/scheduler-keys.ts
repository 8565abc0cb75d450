/** What the configurations of diffusers' schedulers share: keys with their defaults, and what they mean here. */
import * as z from 'zod'
import { createSchedule, type DiffusionOptions, parseDiffusion } from '../../diffusion/diffusion-options.js'
import { expected } from '../../errors.js'
import type { SpacingOptions } from '../../sampling/spacings/list.js'

/** A key that has one value only here; null stands for false. @param why what another value would do */
export function only(value: string | boolean, why: string): z.ZodType<unknown> {
  return z
    .unknown()
    .default(value)
    .refine((given) => (given ?? false) === value, { error: `Expected ${value} (${why})` })
}

/** A flag; null is false. */
export function flag(fallback: boolean): z.ZodType<boolean> {
  return z
    .boolean()
    .nullable()
    .default(fallback)
    .transform((given) => given ?? false)
}

export const betaSchedules = {
  linear: 'linear',
  scaled_linear: 'scaled-linear',
  squaredcos_cap_v2: 'cosine',
  sigmoid: 'sigmoid-betas',
} as const
type BetaSchedule = keyof typeof betaSchedules

const common = ['linear', 'scaled_linear', 'squaredcos_cap_v2'] as const

/** @param schedules what the class knows of beta_schedule */
export function betaKeys(schedules: readonly BetaSchedule[] = common, start = 1e-4, end = 0.02) {
  return {
    num_train_timesteps: z.int().min(1).max(1_000_000).default(1000),
    beta_start: z.number().default(start),
    beta_end: z.number().default(end),
    beta_schedule: z.enum(schedules).default('linear'),
    trained_betas: z.array(z.number()).min(1).max(1_000_000).nullable().default(null),
  }
}

interface Betas {
  readonly num_train_timesteps: number
  readonly beta_start: number
  readonly beta_end: number
  readonly beta_schedule: BetaSchedule
  readonly trained_betas: readonly number[] | null
  readonly rescale_betas_zero_snr?: unknown
}

export function scheduleOf(config: Betas): NonNullable<DiffusionOptions['schedule']> {
  const { num_train_timesteps: steps, trained_betas: betas } = config
  const zeroTerminalSnr = config.rescale_betas_zero_snr === true
  if (betas !== null && betas.length !== steps) {
    throw expected(
      `${steps} betas, as num_train_timesteps says,`,
      'trained_betas',
      `${betas.length} betas`,
      '',
      'DPM_INVALID_OPTION',
    )
  }
  if (config.rescale_betas_zero_snr === almost) return endingAt(leastSignal, namedSchedule(config, true))
  return namedSchedule(config, zeroTerminalSnr)
}

function namedSchedule(
  config: Betas,
  zeroTerminalSnr: boolean,
): Exclude<NonNullable<DiffusionOptions['schedule']>, string> {
  const { num_train_timesteps: steps, trained_betas: betas } = config
  if (betas !== null) return { kind: 'betas', betas: [...betas], zeroTerminalSnr }
  const kind = betaSchedules[config.beta_schedule]
  if (kind === 'cosine') return { kind, steps, zeroTerminalSnr }
  return { kind, steps, betaStart: config.beta_start, betaEnd: config.beta_end, zeroTerminalSnr }
}

/** What the flag of those schedulers says that cannot begin without signal: they leave alpha² = 2^-24 at the last time. */
const almost = 'almost'
const leastSignal = 2 ** -24
export const almostZeroTerminalSnr = {
  rescale_betas_zero_snr: flag(false).transform((given) => given && almost),
} as const

/** The betas of a schedule with another alpha² at the last time. */
function endingAt(
  signal: number,
  options: NonNullable<DiffusionOptions['schedule']>,
): { kind: 'betas'; betas: number[] } {
  const schedule = createSchedule(parseDiffusion({ schedule: options }).schedule)
  const signals = Array.from({ length: schedule.steps ?? 0 }, (_, time) => schedule.level(time).alpha ** 2)
  // Without signal at the end some schedules have less than this before it, where diffusers goes back up: here these times have as much.
  const last = signals.length - 1
  signals.forEach((own, time) => {
    signals[time] = time === last ? signal : Math.max(own, signal * (1 + 1e-3 * (last - time)))
  })
  return { kind: 'betas', betas: signals.map((abar, time) => 1 - abar / (signals[time - 1] ?? 1)) }
}

export const predictions = { epsilon: 'noise', sample: 'clean', v_prediction: 'velocity' } as const
type PredictionType = keyof typeof predictions

export function predictionKey<Type extends PredictionType>(...types: [Type, ...Type[]]) {
  return z.enum(types).default('epsilon' as Type)
}

export const clipKeys = (fallback: boolean) =>
  ({ clip_sample: flag(fallback), clip_sample_range: z.number().positive().default(1) }) as const

export const thresholdKeys = {
  thresholding: flag(false),
  dynamic_thresholding_ratio: z.number().gt(0).max(1).default(0.995),
  sample_max_value: z.number().positive().default(1),
} as const

interface Clip {
  readonly clip_sample?: boolean
  readonly clip_sample_range?: number
  readonly thresholding?: boolean
  readonly dynamic_thresholding_ratio?: number
  readonly sample_max_value?: number
}

export function clipOf(config: Clip): NonNullable<DiffusionOptions['clip']> {
  const { clip_sample_range: range = 1, dynamic_thresholding_ratio: quantile, sample_max_value: high = 1 } = config
  if (config.thresholding) return { kind: 'dynamic', ...(quantile === undefined ? {} : { quantile }), low: 1, high }
  return config.clip_sample ? { kind: 'range', low: -range, high: range } : { kind: 'none' }
}

export const timestepSpacings = ['leading', 'trailing', 'linspace'] as const
export type TimestepSpacing = (typeof timestepSpacings)[number]

export function spacingKeys<Choice extends TimestepSpacing>(fallback: Choice, choices: readonly Choice[]) {
  return {
    timestep_spacing: z.enum(choices).default(fallback as never),
    steps_offset: z.int().min(0).max(1_000_000).default(0),
  }
}

interface Spacing {
  readonly timestep_spacing: TimestepSpacing
  readonly steps_offset: number
}

/** How one-step samplers lay out their times. */
export function spacingOf({ timestep_spacing: kind, steps_offset: offset }: Spacing): SpacingOptions {
  return kind === 'leading' ? { kind, offset } : { kind }
}

/** How multistep solvers do: with one time more, the cleanest of which is left out. */
export function solverSpacingOf({ timestep_spacing: kind, steps_offset: offset }: Spacing): SpacingOptions {
  if (kind === 'trailing') return { kind }
  return { kind, dropCleanest: true, ...(kind === 'leading' ? { offset } : {}) }
}

/** How those in sigma do, which do not round. */
export function sigmaSpacingOf({ timestep_spacing: kind, steps_offset: offset }: Spacing): SpacingOptions {
  if (kind === 'linspace') return { kind, between: 'ratio' }
  return spacingOf({ timestep_spacing: kind, steps_offset: offset })
}

/** Levels that are spread in sigma / alpha instead, by the key that asks for them. */
export const sigmaSpacings = {
  use_karras_sigmas: 'karras',
  use_exponential_sigmas: 'exponential',
  use_beta_sigmas: 'beta',
} as const
type SigmaSpacing = keyof typeof sigmaSpacings

export const sigmaKeys = {
  use_karras_sigmas: flag(false),
  use_exponential_sigmas: flag(false),
  use_beta_sigmas: flag(false),
} as const satisfies Record<SigmaSpacing, z.ZodType>

/** @param range what the levels are spread between, and the times that the network is told of them */
export function sigmaSpacing(
  config: Readonly<Record<SigmaSpacing, boolean>>,
  range: Omit<Extract<SpacingOptions, { readonly kind: 'exponential' }>, 'kind'> = {},
): SpacingOptions | undefined {
  const chosen = (Object.keys(sigmaSpacings) as SigmaSpacing[]).find((key) => config[key])
  return chosen && { kind: sigmaSpacings[chosen], ...range }
}
