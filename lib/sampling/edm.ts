/**
 * The stochastic sampler of Karras et al. 2022 (arXiv 2206.00364, algorithm 2), in y = x / alpha and r = sigma / alpha: where
 * minimum ≤ r ≤ maximum, noise is added first, and then the flow is followed down from the higher level,
 *
 *     gamma = min(churn / steps, sqrt(2) - 1),   r' = r (1 + gamma),   y' = y + sqrt(r'² - r²) noiseScale · noise,
 *
 * by Heun's method (order 2; the step to the clean image is Euler's) or by Euler's (order 1). The paper's settings for
 * ImageNet-64 are churn 40, minimum 0.05, maximum 50, noiseScale 1.003; for CIFAR-10 its best is churn 0, which is `heun`.
 */
import * as z from 'zod'
import { ratioOf } from '../diffusion/schedule.js'
import { expected } from '../errors.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'
import { flowPoint, flowTo, spansFiniteRatios } from './probability-flow.js'

const edmSchema = z.strictObject({
  kind: z.literal('edm'),
  order: z
    .union([z.literal(1), z.literal(2)])
    .default(2)
    .describe("1: Euler's method; 2: Heun's"),
  churn: z.number().min(0).default(0).describe('how much noise is added over the whole run; 0: none'),
  minimum: z.number().min(0).default(0).describe('no noise is added where sigma / alpha is less'),
  maximum: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe('no noise is added where sigma / alpha is more; null: no limit'),
  noiseScale: z.number().positive().default(1).describe('standard deviation of the noise that is added'),
})

export const edm = defineSampler('edm', edmSchema, (x, verbs) => {
  const { levels, schedule, combine, noise, emit, options } = verbs
  const { order, churn, minimum, noiseScale } = options
  const maximum = options.maximum ?? Number.MAX_VALUE
  if (maximum < minimum) {
    throw expected(`at least \`minimum\` (${minimum})`, 'maximum', maximum, '', 'DPM_INVALID_OPTION')
  }
  pairs(levels).forEach(([from, to], step) => {
    const ratio = ratioOf(from)
    const churned = ratio >= minimum && ratio <= maximum
    const gamma = churned ? Math.min(churn / (levels.length - 1), Math.SQRT2 - 1) : 0
    const level = gamma > 0 ? schedule.atRatio(ratio * (1 + gamma)) : from
    if (gamma > 0) {
      // r'² - r² = r² gamma (2 + gamma), in a form that does not cancel.
      const added = noiseScale * ratio * Math.sqrt(gamma * (2 + gamma))
      x = combine([
        [level.alpha / from.alpha, x],
        [level.alpha * added, noise(step, 'churn')],
      ])
    }
    const start = flowPoint(x, level, verbs)
    x = combine(flowTo(start, to))
    if (order === 2 && spansFiniteRatios(level, to)) {
      const end = flowPoint(x, to, verbs)
      x = combine(flowTo(start, to, [[(ratioOf(to) - ratioOf(level)) / 2, end.direction]]))
    }
    x = emit(x, start.clean)
  })
  return x
})
