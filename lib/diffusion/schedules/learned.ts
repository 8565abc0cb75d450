/**
 * The schedule of VDM (Kingma et al. 2021, arXiv 2107.00630, §3.1, appendix H), learned with the denoiser. With gamma = -ln snr,
 *
 *     sigma² = sigmoid(gamma),   alpha² = sigmoid(-gamma)
 *
 * gamma rises from one end to the other along a monotone network (`learned/schedule-learner.ts`), or straight: the
 * "learnable_scalar" of their code; with fixed ends too, their schedule that is linear in ln snr. What a time means changes as
 * training goes, so the denoiser must be told the level instead.
 */
import * as z from 'zod'
import { expected } from '../../errors.js'
import { continuousSchedule } from '../continuous-schedule.js'
import { defineSchedule } from '../define-schedule.js'
import { variancePreserving } from '../discrete-schedule.js'
import { levelOf, ScheduleLearner } from '../learned/schedule-learner.js'

const learnedSchema = z.strictObject({
  kind: z.literal('learned'),
  gammaMin: z.number().min(-30).max(30).default(-13.3).describe('-ln snr at the cleanest time, where it begins'),
  gammaMax: z.number().min(-30).max(30).default(5).describe('-ln snr at the noisiest time, where it begins'),
  shape: z
    .enum(['network', 'straight'])
    .default('network')
    .describe('the way between the ends: a monotone network that is learned, or a straight line in ln snr'),
  ends: z.enum(['learned', 'fixed']).default('learned').describe('whether gammaMin and gammaMax move, down the bound'),
  units: z.int().min(1).max(65_536).default(1024).describe('hidden units of the network'),
  learningRate: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe("of Adam for the schedule's own numbers; null: the denoiser's rate, as in VDM"),
  cleanest: z.number().gt(0).lt(1).default(1e-5).describe('least time that is trained or sampled'),
})

export const learned = defineSchedule({
  name: 'learned',
  options: learnedSchema,
  create(settings) {
    requireRise(settings.gammaMin, settings.gammaMax)
    const learner = new ScheduleLearner(settings)
    return continuousSchedule({
      name: 'learned',
      cleanest: settings.cleanest,
      noisiest: 1,
      at: (time) => levelOf(time, learner.at(time)),
      timeAtRatio: (ratio) => learner.timeOf(2 * Math.log(ratio)),
      family: variancePreserving,
      learner: settings.shape === 'straight' && settings.ends === 'fixed' ? undefined : learner,
    })
  },
})

function requireRise(gammaMin: number, gammaMax: number): void {
  if (gammaMin < gammaMax) return
  throw expected(
    `gammaMin below gammaMax for schedule "learned", so a number below ${gammaMax},`,
    'gammaMin',
    gammaMin,
    '',
    'DPM_INVALID_OPTION',
  )
}
