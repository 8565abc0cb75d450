/** Schedulers of diffusers that are solvers in log(alpha / sigma): DPM-Solver, UniPC and DEIS, with their own defaults. */
import * as z from 'zod'
import type { DiffusionOptions } from '../../diffusion/diffusion-options.js'
import type { FinalLevel } from '../../sampling/levels.js'
import type { SamplerOptions } from '../../sampling/samplers.js'
import type { SpacingOptions } from '../../sampling/spacings/list.js'
import {
  anyPrediction,
  type Common,
  defineScheduler,
  diffusionOf,
  few,
  learnedRange,
  type Scheduler,
} from './define-scheduler.js'
import {
  almostZeroTerminalSnr,
  betaKeys,
  flag,
  only,
  sigmaKeys,
  sigmaSpacing,
  solverSpacingOf,
  spacingKeys,
  thresholdKeys,
  timestepSpacings,
} from './scheduler-keys.js'

const common = {
  ...betaKeys(),
  ...anyPrediction,
  ...thresholdKeys,
  solver_order: z.int().min(1).max(3).default(2),
  ...sigmaKeys,
  use_flow_sigmas: only(false, 'flow matching is not imported'),
  flow_shift: z.unknown().optional(),
  use_dynamic_shifting: only(false, 'flow matching is not imported'),
  time_shift_type: z.unknown().optional(),
}

/** A learned variance that a solver leaves aside. */
const solverVariance = { variance_type: z.enum(['learned_range', 'learned']).nullable().default(null) }

function solverDiffusion(config: Common & { readonly variance_type: string | null }): DiffusionOptions {
  const variances = { learned_range: learnedRange, learned: { ...learnedRange, variance: 'learned' } } as const
  const variance = config.variance_type as keyof typeof variances | null
  return { ...diffusionOf(config), ...(variance === null ? {} : variances[variance]) }
}

/** Absent it is what the class could do before it had the key: a solver in the noise cannot end at the clean image. */
const finalKey = { final_sigmas_type: z.enum(['zero', 'sigma_min']).optional() }

function finalOf(given: 'zero' | 'sigma_min' | undefined, isInNoise: boolean): FinalLevel {
  return (given ?? (isInNoise ? 'sigma_min' : 'zero')) === 'zero' ? 'clean' : 'least-noise'
}

const lambdaKey = {
  lambda_min_clipped: z
    .number()
    .or(z.literal(Number.NEGATIVE_INFINITY))
    .nullable()
    .default(Number.NEGATIVE_INFINITY)
    .transform((given) => (given === Number.NEGATIVE_INFINITY ? null : given)),
}

/** Names of other classes' solvers are taken for the first of these, as diffusers does when one configuration becomes another. */
const solverNames = ['midpoint', 'heun', 'logrho', 'bh1', 'bh2'] as const
function solverKey<Own extends (typeof solverNames)[number]>(fallback: NoInfer<Own>, ...own: Own[]) {
  return {
    solver_type: z
      .enum(solverNames)
      .default(fallback)
      .transform((given): Own => own.find((one) => one === given) ?? fallback),
  }
}

/** What the network is told at levels that are spread in sigma: whole times. */
function wholeTimes(config: SigmaTimes): 'nearest' | 'below' {
  const { use_karras_sigmas: karras, use_lu_lambdas: lu = false, beta_schedule: schedule } = config
  if (config.alwaysRounds) return karras ? 'nearest' : 'below'
  return (karras || lu) && schedule !== 'squaredcos_cap_v2' ? 'nearest' : 'below'
}

interface SigmaTimes {
  readonly use_karras_sigmas: boolean
  readonly use_exponential_sigmas: boolean
  readonly use_beta_sigmas: boolean
  readonly use_lu_lambdas?: boolean
  readonly beta_schedule: string
  /** Whether Karras' are rounded whatever the schedule is. */
  readonly alwaysRounds?: boolean
}

function ownSigmas(config: SigmaTimes): SpacingOptions | undefined {
  const times = wholeTimes(config)
  // In the order in which diffusers looks at the keys.
  if (config.use_lu_lambdas && !config.use_karras_sigmas) return { kind: 'log-snr', times }
  return sigmaSpacing(config, { times })
}

/** As the solver's own spacing, without the times of a lambda below the least. */
function clippedSpacing(config: Parameters<typeof solverSpacingOf>[0], least: number | null): SpacingOptions {
  const spacing = solverSpacingOf(config)
  if (least === null) return spacing
  return { ...(spacing as { kind: 'linspace' | 'leading' }), leastLambda: least }
}

type MultistepConfig = {
  readonly solver_order: number
  readonly solver_type: 'midpoint' | 'heun'
  readonly algorithm_type: keyof typeof multistepSolvers
  readonly lower_order_final: boolean
  readonly euler_at_final: boolean
}

interface MultistepOptions {
  readonly order: number
  readonly solver: 'midpoint' | 'heun'
  readonly ends: { readonly lowerOrderFinal: boolean; readonly eulerAtFinal: boolean }
}

/** Samplers by algorithm_type, of orders 1 to 3. */
const multistepSolvers = {
  'dpmsolver++': ({ order, solver, ends }) => {
    if (order === 1) return { kind: 'ddim' }
    return order === 2 ? { kind: 'dpm++2m', solver, ...ends } : { kind: 'dpm++3m', solver, curvature: 'half', ...ends }
  },
  'sde-dpmsolver++': ({ order, solver, ends }) => {
    if (order === 1) return { kind: 'ddim', eta: 1 }
    return order === 2
      ? { kind: 'dpm++2m-sde', solver, ...ends }
      : { kind: 'dpm++3m-sde', solver, curvature: 'mistaken', ...ends }
  },
  dpmsolver: ({ order, solver, ends }) => {
    if (order === 1) return { kind: 'ddim' }
    return order === 2
      ? { kind: 'dpm-solver-2m', solver, ...ends }
      : { kind: 'dpm-solver-3m', solver, curvature: 'half', ...ends }
  },
  'sde-dpmsolver': ({ order, solver, ends }) => ({
    kind: 'dpm-solver-2m-sde',
    order: order === 1 ? 1 : 2,
    solver,
    ...ends,
  }),
} as const satisfies Record<string, (options: MultistepOptions) => SamplerOptions>

function multistepSampler(config: MultistepConfig): SamplerOptions {
  return multistepSolvers[config.algorithm_type]({
    order: config.solver_order,
    solver: config.solver_type,
    ends: { lowerOrderFinal: config.lower_order_final, eulerAtFinal: config.euler_at_final },
  })
}

/** Whether a solver of diffusers is in the noise. */
const isInNoise = (algorithm: string): boolean => !algorithm.endsWith('++')

const endsWithNoise = {
  path: ['final_sigmas_type'],
  error: 'Expected sigma_min where the solver is in the noise (diffusers cannot end at the clean image with it)',
}

/** The name that configurations of DEIS have for it is taken for DPM-Solver++, as diffusers does. */
const algorithmNames = ['dpmsolver++', 'sde-dpmsolver++', 'dpmsolver', 'sde-dpmsolver'] as const
type AlgorithmName = (typeof algorithmNames)[number]
function algorithmKey(...algorithms: [AlgorithmName, ...AlgorithmName[]]) {
  return {
    algorithm_type: z
      .enum([...algorithms, 'deis'])
      .default('dpmsolver++')
      .transform((given): AlgorithmName => (given === 'deis' ? 'dpmsolver++' : given)),
  }
}

export const solverSchedulers = {
  DPMSolverMultistepScheduler: defineScheduler(
    z
      .looseObject({
        ...common,
        ...algorithmKey('dpmsolver++', 'sde-dpmsolver++', 'dpmsolver', 'sde-dpmsolver'),
        ...solverKey('midpoint', 'midpoint', 'heun'),
        lower_order_final: flag(true),
        euler_at_final: flag(false),
        use_lu_lambdas: flag(false),
        ...finalKey,
        ...lambdaKey,
        ...solverVariance,
        ...spacingKeys('linspace', timestepSpacings),
        ...almostZeroTerminalSnr,
      })
      .refine(({ algorithm_type: type, solver_order: order }) => type !== 'sde-dpmsolver' || order < 3, {
        path: ['solver_order'],
        error: 'Expected 1 or 2 with algorithm_type "sde-dpmsolver" (diffusers has none of order 3)',
      })
      .refine(
        ({ algorithm_type: type, final_sigmas_type: final }) => !isInNoise(type) || final !== 'zero',
        endsWithNoise,
      )
      .refine((config) => config.lambda_min_clipped === null || config.timestep_spacing !== 'trailing', {
        path: ['lambda_min_clipped'],
        error:
          'Expected -Infinity with timestep_spacing "trailing" (diffusers takes fewer steps there than it is asked for)',
      }),
    (config) => ({
      diffusion: solverDiffusion(config),
      sampler: multistepSampler(config),
      spacing: ownSigmas(config) ?? clippedSpacing(config, config.lambda_min_clipped),
      steps: few(config),
      finalLevel: finalOf(config.final_sigmas_type, isInNoise(config.algorithm_type)),
    }),
  ),
  DPMSolverSinglestepScheduler: defineScheduler(
    z
      .looseObject({
        ...common,
        ...algorithmKey('dpmsolver++', 'sde-dpmsolver++', 'dpmsolver'),
        ...solverKey('midpoint', 'midpoint', 'heun'),
        lower_order_final: flag(false),
        ...finalKey,
        ...lambdaKey,
        ...solverVariance,
      })
      .refine(
        ({ algorithm_type: type, final_sigmas_type: final }) => !isInNoise(type) || final !== 'zero',
        endsWithNoise,
      ),
    (config) => {
      const { algorithm_type: algorithm, solver_order: order, solver_type: solver } = config
      const eta = algorithm === 'sde-dpmsolver++' ? 1 : 0
      return {
        diffusion: solverDiffusion(config),
        sampler: {
          kind: 'dpm-singlestep',
          order,
          form: isInNoise(algorithm) ? 'noise' : 'clean',
          solver,
          eta,
          curvature: eta === 0 ? 'full' : 'mistaken',
          lowerOrderFinal: config.lower_order_final,
        },
        spacing:
          ownSigmas({ ...config, alwaysRounds: true }) ??
          clippedSpacing({ timestep_spacing: 'linspace', steps_offset: 0 }, config.lambda_min_clipped),
        steps: few(config),
        finalLevel: finalOf(config.final_sigmas_type, isInNoise(algorithm)),
      }
    },
  ),
  UniPCMultistepScheduler: defineScheduler(
    z
      .looseObject({
        ...common,
        predict_x0: flag(true),
        ...solverKey('bh2', 'bh1', 'bh2'),
        lower_order_final: flag(true),
        disable_corrector: z.array(z.int().min(0).max(1_000_000)).max(1_000_000).default([]),
        solver_p: z.null({ error: 'Expected null (here the predictor is its own)' }).default(null),
        ...spacingKeys('linspace', timestepSpacings),
        ...finalKey,
        ...almostZeroTerminalSnr,
        sigma_min: z.null().default(null),
        sigma_max: z.null().default(null),
        shift_terminal: z.null().default(null),
      })
      .refine(({ predict_x0: isClean, final_sigmas_type: final }) => isClean || final !== 'zero', endsWithNoise),
    (config) => ({
      // In the noise it thresholds nothing.
      diffusion: { ...diffusionOf(config), ...(config.predict_x0 ? {} : { clip: 'none' }) },
      sampler: {
        kind: 'unipc',
        order: config.solver_order,
        variant: config.solver_type,
        form: config.predict_x0 ? 'clean' : 'noise',
        uncorrected: config.disable_corrector,
        lowerOrderFinal: config.lower_order_final,
      },
      spacing: ownSigmas({ ...config, alwaysRounds: true }) ?? solverSpacingOf(config),
      steps: few(config),
      finalLevel: finalOf(config.final_sigmas_type, !config.predict_x0),
    }),
  ),
  DEISMultistepScheduler: defineScheduler(
    z.looseObject({
      ...common,
      algorithm_type: z.enum(['deis', 'dpmsolver', 'dpmsolver++']).default('deis'),
      ...solverKey('logrho', 'logrho'),
      lower_order_final: flag(true),
      ...spacingKeys('linspace', timestepSpacings),
    }),
    (config) => ({
      diffusion: diffusionOf(config),
      sampler: {
        kind: 'deis',
        order: config.solver_order,
        variable: 'log-ratio',
        lowerOrderFinal: config.lower_order_final,
      },
      spacing: ownSigmas({ ...config, alwaysRounds: true }) ?? solverSpacingOf(config),
      steps: few(config),
      finalLevel: 'least-noise',
    }),
  ),
} as const satisfies Record<string, Scheduler>
