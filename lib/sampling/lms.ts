/**
 * Linear multistep (k-diffusion's `lms`; Adams–Bashforth on uneven steps) on the probability flow, in y = x / alpha and
 * r = sigma / alpha: the directions at the last `order` levels are extrapolated by their polynomial in r,
 *
 *     y_s = y_t + sum of weight_j direction_j,   weight_j = integral from r_t to r_s of l_j(r) dr,
 *
 * with l_j the Lagrange polynomials through those levels' r. The integrals are exact, whatever the steps. The first steps have
 * fewer levels behind them and are of lower order, which is seen only where the direction changes much at the start. This is
 * DEIS with polynomials in rho (rho-AB of Zhang and Chen 2023, arXiv 2204.13902).
 */
import * as z from 'zod'
import { ratioOf } from '../diffusion/schedule.js'
import { defineSampler } from './define-sampler.js'
import { gaussLegendre, lagrange } from './gauss-legendre.js'
import { pairs } from './levels.js'
import { type FlowPoint, flowPoint, flowTo } from './probability-flow.js'

const lmsSchema = z.strictObject({
  kind: z.literal('lms'),
  order: z.int().min(1).max(4).default(4).describe('how many levels are looked back to, at most 4'),
})

export const lms = defineSampler('lms', lmsSchema, (x, verbs) => {
  const { levels, combine, emit, options } = verbs
  /** The newest first; without levels at which no signal is left, whose r is infinite. */
  let past: readonly FlowPoint[] = []
  for (const [from, to] of pairs(levels)) {
    const start = flowPoint(x, from, verbs)
    if (from.alpha > 0) past = [start, ...past].slice(0, options.order)
    const weights = integrals(
      past.map(({ level }) => ratioOf(level)),
      ratioOf(from),
      ratioOf(to),
    )
    const others = past.slice(1).map(({ direction }, j) => [weights[j + 1] ?? 0, direction] as const)
    x = emit(combine(flowTo(start, to, others)), start.clean)
  }
  return x
})

function integrals(nodes: readonly number[], from: number, to: number): readonly number[] {
  return nodes.map((_, j) =>
    gaussLegendre(from, to).reduce((sum, [ratio, weight]) => sum + weight * lagrange(nodes, j, ratio), 0),
  )
}
