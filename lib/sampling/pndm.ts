/**
 * PNDM (Liu et al. 2022, arXiv 2202.09778, F-PNDM): the noise that the denoiser sees is combined as a classical
 * method combines slopes in time, and put into DDIM's step phi; in y = x / alpha and r = sigma / alpha
 *
 *     phi: y_s = y_t + (r_s - r_t) mean,   mean = (55 e_0 - 59 e_1 + 37 e_2 - 9 e_3) / 24
 *
 * with e_j the noise at the last levels. The first steps have too few of them. `start` says how these are done:
 * `runge-kutta`, as in the paper: three steps with mean = (e_1 + 2 e_2 + 2 e_3 + e_4) / 6 of noise at t, twice in the middle of
 * time, and at s, four evaluations each; `heun`, as Stable Diffusion does (diffusers' `skip_prk_steps`): one step with
 * mean = (e_1 + e_2) / 2 of noise at t and s, then Adams–Bashforth of growing order.
 *
 * Second order in general (as Liu et al. prove), because weights for even steps of time stand for the integral over r; where r
 * itself is even, fourth order with `runge-kutta` and third with `heun`, whose first steps are of lower order.
 */
import * as z from 'zod'
import { type Level, ratioOf } from '../diffusion/schedule.js'
import { adamsBashforth } from './adams-bashforth.js'
import type { SamplerVerbs, Terms } from './define-sampler.js'
import { defineSampler } from './define-sampler.js'
import { pairs } from './levels.js'
import { type FlowPoint, flowPoint, flowTo, spansFiniteRatios } from './probability-flow.js'

const starts = ['runge-kutta', 'heun'] as const
type Start = (typeof starts)[number]

const pndmSchema = z.strictObject({
  kind: z.literal('pndm'),
  start: z
    .enum(starts)
    .default('runge-kutta')
    .describe(
      'first steps: runge-kutta: three of four evaluations, as the paper; heun: one of two, as Stable Diffusion',
    ),
})

export const pndm = defineSampler('pndm', pndmSchema, (x, verbs) => {
  const { levels, combine, emit, options } = verbs
  const { steps, mean } = beginnings[options.start]
  let past: readonly FlowPoint[] = []
  pairs(levels).forEach(([from, to], step) => {
    const start = flowPoint(x, from, verbs)
    past = [start, ...past].slice(0, adamsBashforth.length)
    const begins = step < steps && spansFiniteRatios(from, to)
    const shares = begins ? mean(start, to, verbs) : continued(past)
    x = emit(combine(phi(start, to, shares)), start.clean)
  })
  return x
})

/** DDIM's step with a mean of noises: the shares of others than the start's own, which has the rest to 1. */
function phi(start: FlowPoint, to: Level, shares: Terms = []): Terms {
  const step = ratioOf(to) - ratioOf(start.level)
  return flowTo(
    start,
    to,
    shares.map(([share, direction]) => [step * share, direction] as const),
  )
}

function continued(past: readonly FlowPoint[]): Terms {
  const shares = adamsBashforth[past.length - 1] ?? []
  return past.slice(1).map(({ direction }, j) => [shares[j + 1] ?? 0, direction] as const)
}

interface Beginning {
  /** How many of the first steps are done in this way. */
  readonly steps: number
  mean(start: FlowPoint, to: Level, verbs: SamplerVerbs<unknown>): Terms
}

const beginnings = {
  'runge-kutta': {
    steps: 3,
    mean(start, to, verbs) {
      const { schedule, combine } = verbs
      const between = schedule.level((start.level.time + to.time) / 2)
      const second = flowPoint(combine(phi(start, between)), between, verbs)
      const third = flowPoint(combine(phi(start, between, [[1, second.direction]])), between, verbs)
      const fourth = flowPoint(combine(phi(start, to, [[1, third.direction]])), to, verbs)
      return [
        [1 / 3, second.direction],
        [1 / 3, third.direction],
        [1 / 6, fourth.direction],
      ]
    },
  },
  heun: {
    steps: 1,
    mean(start, to, verbs) {
      const end = flowPoint(verbs.combine(phi(start, to)), to, verbs)
      return [[1 / 2, end.direction]]
    },
  },
} satisfies Record<Start, Beginning>
