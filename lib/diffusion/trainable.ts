/** What is fine for sampling, but could never be trained. */
import { DpmError } from '../errors.js'
import type { DiffusionSettings } from './diffusion-options.js'
import { isLearned } from './posterior.js'

/**
 * For a run, before anything of it begins.
 * @throws DpmError DPM_INVALID_OPTION naming the two options that clash: a learned variance that no part of the loss reaches; a
 *   weighting or loss that counts nowhere.
 */
export function requireTrainable({ variance, bound, weighting, loss }: DiffusionSettings, place = 'diffusion'): void {
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
  if (bound.kind !== 'none' && loss === 'sliced') {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `\`${place}.loss\` "sliced" has no target that \`${place}.bound\` "${bound.kind}" could measure from. Set the loss to "l2", or the bound to "none".`,
    )
  }
}
