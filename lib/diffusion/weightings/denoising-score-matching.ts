/**
 * Denoising score matching: ½ sigma^power times the error of the score, power 2 in NCSN and NCSNv2 (Song and Ermon 2019,
 * arXiv 1907.05600, eq. 5–6; `anneal_power` in their code) and in Song et al. 2021 (arXiv 2011.13456, eq. 7). An error e of the
 * clean image is an error alpha e / sigma² of the score.
 */
import * as z from 'zod'
import { defineWeighting } from '../weighting.js'

export const denoisingScoreMatching = defineWeighting({
  name: 'denoising-score-matching',
  options: z.strictObject({
    kind: z.literal('denoising-score-matching'),
    power: z.number().min(0).default(2).describe("of sigma; 2 gives every level's loss the same size"),
  }),
  create: ({ power }) => {
    return ({ alpha, sigma }, { cOut }) => 0.5 * sigma ** (power - 4) * (alpha * cOut) ** 2
  },
})
