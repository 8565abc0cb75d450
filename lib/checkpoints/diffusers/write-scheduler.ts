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
import { type SchedulerName, samplerWriters as writers } from './sampler-writers.js'
import type { SchedulerReading } from './scheduler-config.js'
import { betaSchedules, predictions, sigmaSpacings } from './scheduler-keys.js'
import { schedulers } from './schedulers.js'

type Json = Readonly<Record<string, unknown>>

export interface WrittenScheduler {
  readonly name: SchedulerName
  readonly config: Json
  /** What the caller must say in diffusers, or has otherwise there. */
  readonly notes: readonly string[]
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
  const common = {
    ...diffusionKeys(diffusion),
    ...spacingKeys(sampling.spacing),
    ...finalKeys(sampling.finalLevel),
    ...writer.keys(sampler as never),
  }
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
      const again = parseOptions(samplingSchema, reading.sampling, name)
      const times = timesNotes(sampling.spacing ?? { kind: 'trailing' }, again.spacing)
      return { name, config, notes: [...reading.notes, ...times, ...callNotes(sampler, sampling, diffusion)] }
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
  }
}

function finalKeys(finalLevel: SamplingSettings['finalLevel']): Json {
  const isClean = finalLevel === 'clean'
  return { set_alpha_to_one: isClean, final_sigmas_type: isClean ? 'zero' : 'sigma_min' }
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
  const given = spacing ?? ({ kind: 'trailing' } as const)
  if ('ends' in given) {
    const flag = Object.entries(sigmaSpacings).find(([, ours]) => ours === given.kind)?.[0] ?? 'use_lu_lambdas'
    const ends =
      given.ends === 'schedule'
        ? { timestep_spacing: 'linspace' }
        : { timestep_spacing: given.ends, steps_offset: given.offset }
    return { ...ends, [flag]: true, sigma_min: given.sigmaMin ?? null, sigma_max: given.sigmaMax ?? null }
  }
  return {
    timestep_spacing: given.kind,
    ...(given.kind === 'leading' ? { steps_offset: given.offset } : {}),
    ...('leastLambda' in given && given.leastLambda !== undefined ? { lambda_min_clipped: given.leastLambda } : {}),
  }
}

/** A spacing without what only says how the network is told of its levels. */
function levelsOnly(spacing: SamplingSettings['spacing']): unknown {
  if (!spacing || !('times' in spacing) || spacing.kind === 'times') return spacing
  const { times: _, ...rest } = spacing
  return rest
}

/** What differs where levels lie between whole times. */
function timesNotes(ours: SamplingSettings['spacing'], theirs: SamplingSettings['spacing']): string[] {
  if (isEqual(ours, theirs)) return []
  return ['diffusers tells the network whole times near these levels; here it is told those between.']
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
    ['sampling.spacing', levelsOnly(sampling.spacing ?? { kind: 'trailing' }), levelsOnly(again.spacing)],
    ['sampling.finalLevel', sampling.finalLevel, again.finalLevel],
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
