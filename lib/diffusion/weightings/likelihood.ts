/**
 * Likelihood weighting: ½ g(t)² on the score's error (Song et al. 2021, arXiv 2101.09258, eq. 8), in continuous time. With
 * g² = -sigma² d ln(snr) / dt that is -½ d ln(snr) / dt on the noise's error, the weighting "vlb" per unit of time.
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { snrSlope } from '../snr-slope.js'
import { defineWeighting } from '../weighting.js'

export const likelihoodWeighting = defineWeighting({
  name: 'likelihood',
  options: z.strictObject({ kind: z.literal('likelihood') }),
  create: (_, schedule) => {
    if (schedule.steps !== undefined) {
      throw new DpmError(
        'DPM_INVALID_OPTION',
        `The weighting "likelihood" needs a schedule of continuous time, but schedule \`${schedule.name}\` has ${schedule.steps} times. Use the weighting "vlb", or a schedule such as "vp-sde".`,
      )
    }
    return (level, { cOut }) => -0.5 * snrSlope(schedule, level) * cOut * cOut
  },
})
