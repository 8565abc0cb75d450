/**
 * The variance exploding SDE of Song et al. 2021 (arXiv 2011.13456, eq. 9 and appendix C), a geometric sequence of noise
 * levels in continuous time:
 *
 *     alpha = 1,   sigma(t) = sigmaMin (sigmaMax / sigmaMin)^t
 *
 * The image itself, which this formula never reaches, is at time 0. The paper takes sigmaMax near the largest distance
 * between two images (NCSNv2's technique 1): 50 for CIFAR-10.
 */
import * as z from 'zod'
import { continuousSchedule } from '../continuous-schedule.js'
import { defineSchedule } from '../define-schedule.js'
import { varianceExploding } from '../discrete-schedule.js'
import { requireSigmaRange } from '../sigma-range.js'

const veSdeSchema = z.strictObject({
  kind: z.literal('ve-sde'),
  sigmaMin: z.number().gt(0).default(0.01).describe('noise at time 0'),
  sigmaMax: z.number().gt(0).default(50).describe('noise at time 1'),
  cleanest: z.number().gt(0).lt(1).default(1e-5).describe('least time that is trained or sampled'),
})

export const veSde = defineSchedule({
  name: 've-sde',
  options: veSdeSchema,
  create: ({ sigmaMin, sigmaMax, cleanest }) => {
    requireSigmaRange('ve-sde', sigmaMin, sigmaMax)
    const span = Math.log(sigmaMax / sigmaMin)
    return continuousSchedule({
      name: 've-sde',
      cleanest,
      noisiest: 1,
      at: (time) => ({ alpha: 1, sigma: sigmaMin * Math.exp(span * time) }),
      timeAtRatio: (ratio) => Math.log(ratio / sigmaMin) / span,
      family: varianceExploding,
    })
  },
})
