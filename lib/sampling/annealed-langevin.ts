/**
 * Annealed Langevin dynamics (Song and Ermon 2019, arXiv 1907.05600, algorithm 1; 2020, arXiv 2006.09011, algorithm 1). At every
 * noise level r_i, from the largest to the least, r_L, so many times
 *
 *     a_i = stepSize · (r_i / r_L)²,   y ← y + a_i score + sqrt(2 a_i) noise,   score = (clean - y) / r_i²
 *
 * and at the end once more r_L² score without noise, which makes y the clean image (2006.09011, §2.1 and Jolicoeur-Martineau et
 * al. 2020, arXiv 2009.05475). That is their code's step; the papers write a_i / 2 and sqrt(a_i). It is stated for alpha 1; here
 * y = x / alpha and r = sigma / alpha, so it holds for any schedule. Since a_i / r_i² is the same number c at every level,
 *
 *     x ← (1 - c) x + c alpha_i clean + sqrt(2 c) sigma_i noise,   c = stepSize / r_L².
 *
 * The papers begin with uniform noise in [0, 1], which at r_1 = 50 is next to nothing; here x begins as the schedule says.
 */
import * as z from 'zod'
import { ratioOf, requireSignal } from '../diffusion/schedule.js'
import { DpmError, expected } from '../errors.js'
import { defineSampler, type SamplerVerbs } from './define-sampler.js'
import { pairs } from './levels.js'

const annealedLangevinSchema = z.strictObject({
  kind: z.literal('annealed-langevin'),
  stepSize: z.number().gt(0).default(6.2e-6).describe('a at the least noisy level (NCSNv2 on CIFAR-10: 6.2e-6)'),
  stepsPerLevel: z.int().min(1).max(100_000).default(5).describe('moves at every level (NCSN 100, NCSNv2 5)'),
  denoise: z.boolean().default(true).describe('end with the clean image instead of the last, noisy x'),
})

export const annealedLangevin = defineSampler('annealed-langevin', annealedLangevinSchema, (x, verbs) => {
  const { levels, schedule, denoise, combine, noise, emit, options } = verbs
  requireSignal(schedule, 'Sampler "annealed-langevin"', 'Use a schedule that ends above 0, or another sampler.')
  if (levels.at(-1)?.sigma !== 0) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      'Sampler "annealed-langevin" ends with noise by an option of its own: set `denoise` to false, and leave `finalLevel` out.',
    )
  }
  const share = shareOfScore(options.stepSize, verbs)
  let draw = 0
  for (const [from, to] of pairs(levels)) {
    let clean = denoise(x, from)
    for (let move = 0; move < options.stepsPerLevel; move++) {
      if (move > 0) clean = denoise(x, from)
      x = combine([
        [1 - share, x],
        [share * from.alpha, clean],
        [Math.sqrt(2 * share) * from.sigma, noise(draw++)],
      ])
    }
    if (to.sigma === 0 && options.denoise) {
      clean = denoise(x, from)
      x = combine([[to.alpha, clean]])
    } else {
      x = combine([[to.alpha / from.alpha, x]])
    }
    x = emit(x, clean)
  }
  return x
})

/** c: what is left of y's distance to the clean image after a move is 1 - c, so the chain runs away where c is 2 or more. */
function shareOfScore(
  stepSize: number,
  { levels, schedule }: Pick<SamplerVerbs<unknown>, 'levels' | 'schedule'>,
): number {
  const least = levels.at(-2) ?? schedule.level(schedule.cleanest)
  const most = 2 * ratioOf(least) ** 2
  if (stepSize < most) return stepSize / ratioOf(least) ** 2
  throw expected(
    `a number below ${Number(most.toPrecision(3))}, twice the least sigma / alpha squared (time ${least.time}),`,
    'sampler.stepSize',
    stepSize,
    'Langevin dynamics diverges otherwise.',
    'DPM_INVALID_OPTION',
  )
}
