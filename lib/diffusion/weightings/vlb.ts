/**
 * The weight that makes the mean loss the diffusion terms of the variational bound, in nats per element.
 *
 * Discrete times: T · meanClean² / (2 variance) on the clean image's error, with the posterior's numbers (Ho et al. 2020, arXiv
 * 2006.11239, eq. 12). With the posterior's own variance, `fixed-small`, that is T (snr_{t-1} - snr_t) / 2 (Kingma et al.
 * 2021, arXiv 2107.00630, eq. 14). At time 0, which the bound hands to a decoder, the clipped variance of time 1.
 *
 * Continuous time: the limit -½ (noisiest - cleanest) · d snr / dt (Kingma et al. 2021, eq. 17), on the noise's error
 * -½ (noisiest - cleanest) · d ln snr / dt: VDM's loss, whose mean over even times does not depend on the schedule between its ends.
 */
import * as z from 'zod'
import { clippedLogVariance, fixedVarianceKinds, posterior } from '../posterior.js'
import { type DiscreteSchedule, requireDiscrete, type Schedule } from '../schedule.js'
import { snrSlope } from '../snr-slope.js'
import { defineWeighting, type Weighting } from '../weighting.js'

export const vlb = defineWeighting({
  name: 'vlb',
  options: z.strictObject({
    kind: z.literal('vlb'),
    variance: z
      .enum(fixedVarianceKinds)
      .default('fixed-small')
      .describe("the model's variance: the posterior's or beta; in continuous time they are one"),
  }),
  create: ({ variance }, schedule) =>
    schedule.steps === undefined
      ? continuousVlb(schedule)
      : discreteVlb(requireDiscrete(schedule, 'The weighting "vlb"'), variance),
})

function discreteVlb(schedule: DiscreteSchedule, variance: (typeof fixedVarianceKinds)[number]): Weighting {
  return (level, { cOut }) => {
    const { meanClean } = posterior(level, schedule.level(level.time - 1))
    const logVariance = clippedLogVariance(schedule, level.time, variance, 'second-step')
    return (schedule.steps * (meanClean * cOut) ** 2) / (2 * Math.exp(logVariance))
  }
}

function continuousVlb(schedule: Schedule): Weighting {
  const range = schedule.noisiest - schedule.cleanest
  return (level, { cOut }) => -0.5 * range * snrSlope(schedule, level) * cOut * cOut
}
