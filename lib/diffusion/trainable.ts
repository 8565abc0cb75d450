/** What is fine for sampling, but could never be trained. */
import { DpmError } from '../errors.js'
import type { DiffusionSettings } from './diffusion-options.js'
import { isLearned } from './posterior.js'
import { timeLabelsOfTime } from './time-label.js'

/**
 * For a run, before anything of it begins.
 * @throws DpmError DPM_INVALID_OPTION naming the two options that clash: a learned variance that no part of the loss reaches; a
 *   weighting or loss that counts nowhere; a bound of noise that is chosen by the image; a learned schedule whose loss is not the bound; an uncertainty of what may be negative.
 */
export function requireTrainable(settings: DiffusionSettings, place = 'diffusion'): void {
  const { variance, bound, weighting, loss, schedule, coupling } = settings
  if (isLearned(variance) && bound.kind === 'none') {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The variance "${variance}" is learned by the variational bound alone, but \`${place}.bound\` is "none". Set it to "hybrid" or "vlb", or \`${place}.variance\` to "fixed-small" or "fixed-large".`,
    )
  }
  if (bound.kind === 'vlb' && (weighting.kind !== 'uniform' || loss !== 'l2')) {
    const [option, value] = loss === 'l2' ? ['weighting', weighting.kind] : ['loss', loss]
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `With \`${place}.bound\` "vlb" the bound is the whole loss, so that \`${place}.${option}\` "${value}" counts nowhere. Leave it out, or set the bound to "hybrid" or "none".`,
    )
  }
  if (bound.kind !== 'none' && (loss === 'sliced' || loss === 'cross-entropy')) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`${place}.loss\` "${loss}" has no target that \`${place}.bound\` "${bound.kind}" could measure from. Set the loss to "l2", or the bound to "none".`,
    )
  }
  if (bound.kind !== 'none' && coupling !== 'independent') {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`${place}.bound\` "${bound.kind}" is of noise that knows nothing of the image, but \`${place}.coupling\` "${coupling}" chooses it by the image. Set the coupling to "independent", or the bound to "none".`,
    )
  }
  if (weighting.kind === 'uncertainty' && loss === 'sliced') {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The weighting "uncertainty" evens out losses by their logarithm, but \`${place}.loss\` "sliced" may be negative. Choose another of the two.`,
    )
  }
  if (schedule.kind === 'learned' && (schedule.shape === 'network' || schedule.ends === 'learned')) {
    requireBound(settings, place)
  }
}

/** Times drawn so that the mean loss is that of even times, without a factor on it. */
const evenTimes: readonly string[] = ['uniform', 'stratified', 'antithetic', 'low-discrepancy']

/**
 * A schedule learns from the continuous-time bound: its ends would run away from any other loss, and its shape matters to any other
 * mean.
 */
function requireBound(settings: DiffusionSettings, place: string): void {
  const { weighting, loss, times, coupling, timeLabel } = settings
  const clashes = [
    [weighting.kind === 'vlb', 'weighting', weighting.kind, '"vlb"'],
    [loss === 'l2', 'loss', loss, '"l2"'],
    [evenTimes.includes(times.kind), 'times', times.kind, `one of ${evenTimes.join(', ')}`],
    [coupling === 'independent', 'coupling', coupling, '"independent"'],
    [!timeLabelsOfTime.includes(timeLabel), 'timeLabel', timeLabel, '"log-snr" or another that follows the level'],
  ] as const
  for (const [fits, option, value, choice] of clashes) {
    if (fits) continue
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The schedule "learned" learns from the variational bound of even times, told by their level, but \`${place}.${option}\` is "${value}". Set it to ${choice}, or choose another schedule.`,
    )
  }
}
