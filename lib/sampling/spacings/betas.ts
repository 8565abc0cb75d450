/**
 * The levels of a short schedule given by its betas, the cleanest first, visited on the schedule that was trained: WaveGrad's
 * (Chen et al. 2020, arXiv 2009.00713, §4.2) six steps found by search. A level is found by its sigma / alpha.
 */
import * as z from 'zod'
import { betaOption } from '../../diffusion/beta-options.js'
import { scheduleFromBetas } from '../../diffusion/discrete-schedule.js'
import { ratioOf } from '../../diffusion/schedule.js'
import { requireRatio } from './ratio-range.js'
import { defineSpacing } from './spacing.js'

export const betasSpacing = defineSpacing({
  name: 'betas',
  options: z.strictObject({
    kind: z.literal('betas'),
    betas: z.array(betaOption).min(1).max(1_000_000).describe('betas of the short schedule, the cleanest first'),
  }),
  wholeTimes: false,
  count: ({ betas }) => betas.length,
  create:
    ({ betas }) =>
    (schedule) => {
      const short = scheduleFromBetas('betas', Float64Array.from(betas))
      return betas
        .map((_, time) => schedule.atRatio(requireRatio('betas', schedule, ratioOf(short.level(time)))))
        .reverse()
    },
})
