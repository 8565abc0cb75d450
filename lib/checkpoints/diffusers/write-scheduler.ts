/**
 * A diffusion process and the way to sample it as the configuration of a scheduler of diffusers. What was written is read again, and
 * refused where that would be another process or another way.
 */
import { createSchedule, type DiffusionSettings, diffusionSchema } from '../../diffusion/diffusion-options.js'
import { isLearned } from '../../diffusion/posterior.js'
import type { Level, Schedule } from '../../diffusion/schedule.js'
import { DpmError, expected } from '../../errors.js'
import { parseOptions } from '../../options/options.js'
import { type SamplingSettings, samplingSchema } from '../../sampling/sampling-defaults.js'
import type { SchedulerReading } from './scheduler-config.js'
import { betaSchedules, predictions, sigmaSpacings } from './scheduler-keys.js'
import { schedulers } from './schedulers.js'

type Json = Readonly<Record<string, unknown>>
type SchedulerName = keyof typeof schedulers
type SamplerKind = NonNullable<SamplingSettings['sampler']>['kind']
type SamplerOf<Kind extends SamplerKind> = Extract<NonNullable<SamplingSettings['sampler']>, { kind: Kind }>

export interface WrittenScheduler {
  readonly name: SchedulerName
  readonly config: Json
  /** What the caller must say in diffusers, or has otherwise there. */
  readonly notes: readonly string[]
}

/** By a sampler's kind: the classes that may be it, and what they say of it. */
const writers: {
  readonly [Kind in SamplerKind]?: {
    readonly classes: readonly SchedulerName[]
    keys(sampler: SamplerOf<Kind>): Json
  }
} = {
  ddpm: { classes: ['DDPMScheduler'], keys: () => ({}) },
  ddim: {
    classes: ['DDIMScheduler', 'DPMSolverMultistepScheduler'],
    keys: ({ eta }) => ({ solver_order: 1, algorithm_type: eta === 1 ? 'sde-dpmsolver++' : 'dpmsolver++' }),
  },
  pndm: { classes: ['PNDMScheduler'], keys: ({ start }) => ({ skip_prk_steps: start === 'heun' }) },
  'dpm++2m': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver }) => ({ solver_order: 2, solver_type: solver }),
  },
  'dpm++2m-sde': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver }) => ({ solver_order: 2, solver_type: solver, algorithm_type: 'sde-dpmsolver++' }),
  },
  'dpm++3m': {
    classes: ['DPMSolverMultistepScheduler'],
    keys: ({ solver, lowerOrderFinal }) => ({
      solver_order: 3,
      solver_type: solver,
      lower_order_final: lowerOrderFinal,
    }),
  },
  unipc: {
    classes: ['UniPCMultistepScheduler'],
    keys: ({ order, variant, lowerOrderFinal }) => ({
      solver_order: order,
      solver_type: variant,
      lower_order_final: lowerOrderFinal,
    }),
  },
  euler: { classes: ['EulerDiscreteScheduler'], keys: () => ({}) },
  'euler-ancestral': { classes: ['EulerAncestralDiscreteScheduler'], keys: () => ({}) },
  heun: { classes: ['HeunDiscreteScheduler'], keys: () => ({}) },
}

/** @throws DpmError DPM_INVALID_OPTION naming the setting that diffusers has no word for */
export function writeScheduler(diffusion: DiffusionSettings, sampling: SamplingSettings): WrittenScheduler {
  const sampler = sampling.sampler ?? parseOptions(samplingSchema, { sampler: 'ddpm' }, 'ddpm').sampler
  const writer = sampler ? (writers[sampler.kind] as (typeof writers)['ddpm']) : undefined
  if (!sampler || !writer) {
    throw expected(
      `one of ${Object.keys(writers).join(', ')}`,
      'sampling.sampler',
      sampler?.kind,
      'diffusers has no scheduler for others.',
      'DPM_INVALID_OPTION',
    )
  }
  const common = { ...diffusionKeys(diffusion), ...spacingKeys(sampling.spacing), ...writer.keys(sampler as never) }
  const failures: DpmError[] = []
  for (const name of writer.classes) {
    const scheduler = schedulers[name]
    // Only DDPM has words for a variance that is not learned.
    const isSilent = name !== 'DDPMScheduler' && !isLearned(diffusion.variance)
    const said = Object.entries(common).filter(([key]) => !(isSilent && key === 'variance_type'))
    const config = Object.fromEntries(said.filter(([key]) => scheduler.keys.includes(key)))
    try {
      const reading = scheduler.read(config, name)
      requireSame(reading, diffusion, { ...sampling, sampler }, name)
      return { name, config, notes: [...reading.notes, ...callNotes(sampler, sampling, diffusion)] }
    } catch (error) {
      if (!(error instanceof DpmError)) throw error
      failures.push(error)
    }
  }
  throw failures[0] ?? new DpmError('DPM_INTERNAL', `No scheduler was tried for ${sampler.kind}.`)
}

/** What is no configuration there, but an argument of every call. */
function callNotes(
  sampler: NonNullable<SamplingSettings['sampler']>,
  { steps }: SamplingSettings,
  { clip }: DiffusionSettings,
): string[] {
  const said = [
    ...(steps === null ? [] : [`num_inference_steps=${steps}`]),
    ...(sampler.kind === 'ddim' && sampler.eta > 0 ? [`eta=${sampler.eta}`] : []),
    ...(sampler.kind === 'ddim' && sampler.direction === 'clipped' && clip.kind !== 'none'
      ? ['use_clipped_model_output=True']
      : []),
  ]
  return said.length === 0
    ? []
    : [`diffusers draws the same images when its pipeline is called with ${said.join(', ')}.`]
}

function diffusionKeys(diffusion: DiffusionSettings): Json {
  const { prediction, variance, clip } = diffusion
  const named = Object.entries(predictions).find(([, kind]) => kind === prediction.kind)
  if (!named) {
    throw expected(
      `one of ${Object.values(predictions).join(', ')}`,
      'diffusion.prediction',
      prediction.kind,
      'diffusers knows no other that is ours.',
      'DPM_INVALID_OPTION',
    )
  }
  return {
    ...scheduleKeys(diffusion.schedule),
    prediction_type: named[0],
    variance_type: variance.replaceAll('-', '_'),
    clip_sample: clip.kind === 'range',
    ...(clip.kind === 'range' ? { clip_sample_range: clip.high } : {}),
    thresholding: clip.kind === 'dynamic',
    ...(clip.kind === 'dynamic' ? { dynamic_thresholding_ratio: clip.quantile, sample_max_value: clip.high } : {}),
    set_alpha_to_one: true,
  }
}

function scheduleKeys(settings: DiffusionSettings['schedule']): Json {
  const schedule = settings.kind === 'learned' ? undefined : createSchedule(settings)
  if (schedule?.steps === undefined) {
    throw expected(
      'a schedule of discrete times',
      'diffusion.schedule',
      settings.kind,
      'Schedulers of diffusers for a UNet2DModel are lists of betas.',
      'DPM_INVALID_OPTION',
    )
  }
  const steps = { num_train_timesteps: schedule.steps }
  const rescale = { rescale_betas_zero_snr: 'zeroTerminalSnr' in settings && settings.zeroTerminalSnr }
  const kind = Object.entries(betaSchedules).find(([, ours]) => ours === settings.kind)?.[0]
  if (settings.kind === 'betas') return { ...steps, ...rescale, trained_betas: settings.betas }
  if (settings.kind === 'linear') {
    const scale = settings.scaleToSteps ? 1000 / settings.steps : 1
    const ends = { beta_start: scale * settings.betaStart, beta_end: scale * settings.betaEnd }
    return { ...steps, ...rescale, ...ends, beta_schedule: kind }
  }
  if (settings.kind === 'scaled-linear' || settings.kind === 'quadratic' || settings.kind === 'sigmoid-betas') {
    const ends = { beta_start: settings.betaStart, beta_end: settings.betaEnd }
    return { ...steps, ...rescale, ...ends, beta_schedule: kind ?? 'scaled_linear' }
  }
  if (settings.kind === 'cosine' && settings.offset === 0.008 && settings.maxBeta === 0.999) {
    return { ...steps, ...rescale, beta_schedule: kind }
  }
  return { ...steps, trained_betas: betasOf(schedule, schedule.steps, settings.kind) }
}

/** 1 - alpha_t² / alpha_{t-1}²; of variance-preserving levels alone they give the levels back. */
function betasOf(schedule: Schedule, steps: number, kind: string): number[] {
  const levels = Array.from({ length: steps }, (_, time) => schedule.level(time))
  const betas = levels.map(({ alpha }, time) => 1 - (alpha / (levels[time - 1]?.alpha ?? 1)) ** 2)
  if (levels.every(({ alpha, sigma }) => Math.abs(alpha ** 2 + sigma ** 2 - 1) < 1e-9) && !betas.includes(1))
    return betas
  throw expected(
    'a schedule whose alpha² + sigma² is 1, and whose betas are below 1,',
    'diffusion.schedule',
    kind,
    'Schedulers of diffusers for a UNet2DModel have no others.',
    'DPM_INVALID_OPTION',
  )
}

function spacingKeys(spacing: SamplingSettings['spacing']): Json {
  const { kind } = spacing ?? { kind: 'trailing' }
  const flag = Object.entries(sigmaSpacings).find(([, ours]) => ours === kind)?.[0]
  if (flag !== undefined) return { timestep_spacing: 'linspace', [flag]: true }
  if (kind === 'log-snr') return { timestep_spacing: 'linspace', use_lu_lambdas: true }
  return { timestep_spacing: kind, ...(spacing?.kind === 'leading' ? { steps_offset: spacing.offset } : {}) }
}

/** @throws DpmError DPM_INVALID_OPTION naming the first setting that would come back as another. */
function requireSame(
  reading: SchedulerReading,
  ours: DiffusionSettings,
  sampling: SamplingSettings,
  name: string,
): void {
  const theirs = parseOptions(diffusionSchema, reading.diffusion, name)
  const again = parseOptions(samplingSchema, reading.sampling, name)
  const isAncestral = sampling.sampler?.kind === 'ddpm' || isLearned(ours.variance)
  const facts: readonly (readonly [string, unknown, unknown])[] = [
    ['diffusion.prediction', ours.prediction, theirs.prediction],
    ['diffusion.clip', ours.clip, theirs.clip],
    ...(isAncestral ? [['diffusion.variance', ours.variance, theirs.variance] as const] : []),
    ['sampling.sampler', configured(sampling.sampler), configured(again.sampler)],
    ['sampling.spacing', sampling.spacing ?? { kind: 'trailing' }, again.spacing],
  ]
  for (const [setting, own, other] of facts) {
    if (isEqual(own, other)) continue
    throw expected(
      `${JSON.stringify(other)}, which is what ${name} of diffusers does,`,
      setting,
      own,
      '',
      'DPM_INVALID_OPTION',
    )
  }
  const schedule = createSchedule(ours.schedule)
  const label = labelsSteps(ours, schedule)
  if (!label) {
    throw expected(
      'step, as schedulers of diffusers tell the time,',
      'diffusion.timeLabel',
      ours.timeLabel,
      '',
      'DPM_INVALID_OPTION',
    )
  }
  requireLevels(schedule, createSchedule(theirs.schedule), name)
}

/** eta and the direction of DDIM are arguments of the call there. */
function configured(sampler: SamplingSettings['sampler']): unknown {
  if (sampler?.kind !== 'ddim') return sampler
  return { kind: 'ddim' }
}

function isEqual(a: unknown, b: unknown): boolean {
  const sorted = (value: unknown): string =>
    JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([left], [right]) => (left < right ? -1 : 1)))
        : inner,
    )
  return sorted(a) === sorted(b)
}

/** Whether the network is told the whole time itself. */
function labelsSteps({ timeLabel }: DiffusionSettings, { steps }: Schedule): boolean {
  return timeLabel === 'step' || (steps === 1000 && (timeLabel === 'thousandths' || timeLabel === 'zero-to-999'))
}

function requireLevels(ours: Schedule, theirs: Schedule, name: string): void {
  const apart = (a: number, b: number): boolean => Math.abs(a - b) > 1e-9 * Math.abs(a) + 1e-12
  for (let time = 0; time < (ours.steps ?? 0); time++) {
    const [a, b]: readonly [Level, Level] = [ours.level(time), theirs.level(time)]
    if (!apart(a.alpha, b.alpha) && !apart(a.sigma, b.sigma)) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`diffusion.schedule\` cannot be written for ${name} of diffusers, which has alpha ${b.alpha} at time ${time} where it is ${a.alpha}.`,
    )
  }
}
