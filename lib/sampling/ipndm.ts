/**
 * iPNDM (Zhang and Chen 2023, arXiv 2204.13902): Adams–Bashforth for even steps on the noise that the
 * denoiser sees, put into DDIM's step, in y = x / alpha and r = sigma / alpha
 *
 *     y_s = y_t + (r_s - r_t) sum of c_j direction_j,   c = (55, -59, 37, -9) / 24 and the lower orders of the first steps.
 *
 * PNDM without its Runge–Kutta start: one evaluation a step. The coefficients hold for even steps of r, where the order is
 * `order` but for the first steps; with other spacings it is 2 at most, for which `lms` and `deis` have weights of their own.
 */
import * as z from 'zod'
import { ratioOf } from '../diffusion/schedule.js'
import { adamsBashforth } from './adams-bashforth.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'
import { type FlowPoint, flowPoint, flowTo } from './probability-flow.js'

const ipndmSchema = z.strictObject({
  kind: z.literal('ipndm'),
  order: z.int().min(1).max(4).default(4).describe('how many levels are looked back to, at most 4'),
})

export const ipndm = defineSampler('ipndm', ipndmSchema, (x, verbs) => {
  const { levels, combine, emit, options } = verbs
  let past: readonly FlowPoint[] = []
  for (const [from, to] of pairs(levels)) {
    const start = flowPoint(x, from, verbs)
    past = [start, ...past].slice(0, options.order)
    const shares = adamsBashforth[past.length - 1] ?? []
    const others = past.slice(1).map(({ direction }, j) => {
      return [(ratioOf(to) - ratioOf(from)) * (shares[j + 1] ?? 0), direction] as const
    })
    x = emit(combine(flowTo(start, to, others)), start.clean)
  }
  return x
})
