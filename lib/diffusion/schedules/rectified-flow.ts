/**
 * Straight paths from the image to noise: rectified flow (Liu et al. 2022, arXiv 2209.03003, eq. 1), flow matching with
 * conditional optimal transport and no least noise (Lipman et al. 2022, arXiv 2210.02747, eq. 20–22, time reversed).
 *
 *     alpha = 1 - t,   sigma = t
 *
 * The ends are a little inside 0 and 1, so that sigma / alpha stays finite (999 at most) for solvers that divide by alpha, and for
 * networks that predict noise or score. A network that predicts flow, velocity or the clean image may have `noisiest` 1.
 */
import * as z from 'zod'
import { continuousSchedule } from '../continuous-schedule.js'
import { defineSchedule } from '../define-schedule.js'
import { straight } from '../discrete-schedule.js'

const rectifiedFlowSchema = z.strictObject({
  kind: z.literal('rectified-flow'),
  cleanest: z.number().gt(0).lt(1).default(0.001).describe('least time that is trained or sampled'),
  noisiest: z.number().gt(0).max(1).default(0.999).describe('time at which sampling starts; 1 has no signal at all'),
})

export const rectifiedFlow = defineSchedule({
  name: 'rectified-flow',
  options: rectifiedFlowSchema,
  create: ({ cleanest, noisiest }) =>
    continuousSchedule({
      name: 'rectified-flow',
      cleanest,
      noisiest,
      at: (time) => ({ alpha: 1 - time, sigma: time }),
      timeAtRatio: (ratio) => ratio / (1 + ratio),
      family: straight,
    }),
})
