/**
 * DEIS (Zhang and Chen 2023, arXiv 2204.13902, eq. 14–15, tAB-DEIS): the noise that the denoiser sees is extrapolated by its
 * polynomial through the last `order` levels, and the semilinear ODE is solved for it; in y = x / alpha and r = sigma / alpha
 *
 *     y_s = y_t + sum of C_j direction_j,   C_j = integral from r_t to r_s of l_j dr,
 *
 * with l_j the Lagrange polynomials in `variable`: the schedule's `time` as in the paper, or log r (`log-ratio`) as diffusers
 * has it. (In r itself it is `lms`.) The integrals are Gauss–Legendre sums to float64's digits. Time between the whole times
 * of a discrete schedule is where log r is linear. The first steps have fewer levels behind them and are of lower order; the
 * step to the clean image is DDIM's, as log r ends nowhere there.
 */
import * as z from 'zod'
import { type Level, ratioOf, type Schedule } from '../diffusion/schedule.js'
import { defineSampler } from './define-sampler.js'
import { loweredOrder, lowerOrderFinalOption } from './dpm-multistep.js'
import { gaussLegendre, lagrange } from './gauss-legendre.js'
import { pairs } from './levels.js'
import { type FlowPoint, flowPoint, flowTo, spansFiniteRatios } from './probability-flow.js'

const variables = ['log-ratio', 'time'] as const
type Variable = (typeof variables)[number]

const deisSchema = z.strictObject({
  kind: z.literal('deis'),
  order: z.int().min(1).max(3).default(3).describe('how many levels are looked back to, at most 3'),
  variable: z
    .enum(variables)
    .default('log-ratio')
    .describe('what the noise is a polynomial of: the logarithm of sigma / alpha, or the time of the schedule'),
  lowerOrderFinal: lowerOrderFinalOption.default(false),
})

export const deis = defineSampler('deis', deisSchema, (x, verbs) => {
  const { levels, schedule, combine, emit, options } = verbs
  const variable = variablesOf[options.variable]
  const steps = levels.length - 1
  /** The newest first; without levels at which no signal is left, whose r is infinite. */
  let past: readonly FlowPoint[] = []
  pairs(levels).forEach(([from, to], step) => {
    const start = flowPoint(x, from, verbs)
    if (from.alpha > 0) past = [start, ...past].slice(0, options.order)
    const order = options.lowerOrderFinal ? loweredOrder(options.order, step, steps) : options.order
    const used = past.slice(0, spansFiniteRatios(from, to) ? order : 1)
    const weights = integrals(variable, schedule, used, to)
    const others = used.slice(1).map(({ direction }, j) => [weights[j] ?? 0, direction] as const)
    x = emit(combine(flowTo(start, to, others)), start.clean)
  })
  return x
})

interface PolynomialVariable {
  /** At a level of the run. */
  at(level: Level): number
  /** Where log r is a given number. */
  atLogRatio(schedule: Schedule, logRatio: number): number
  /** Values of log r between two levels at which the variable is not smooth. */
  kinks(schedule: Schedule, from: Level, to: Level): readonly number[]
}

const variablesOf = {
  'log-ratio': {
    at: logRatioOf,
    atLogRatio: (_, logRatio) => logRatio,
    kinks: () => [],
  },
  time: {
    at: ({ time }) => time,
    atLogRatio: (schedule, logRatio) => schedule.atRatio(Math.exp(logRatio)).time,
    kinks(schedule, from, to) {
      if (schedule.steps === undefined) return []
      const whole = Math.ceil(from.time) - 1
      return Array.from({ length: Math.max(0, Math.ceil(whole - to.time)) }, (_, i) =>
        logRatioOf(schedule.level(whole - i)),
      )
    },
  },
} satisfies Record<Variable, PolynomialVariable>

/** Weights of the points before the newest. */
function integrals(
  variable: PolynomialVariable,
  schedule: Schedule,
  used: readonly FlowPoint[],
  to: Level,
): readonly number[] {
  const [newest, ...older] = used
  if (!newest || older.length === 0) return []
  const ends = [logRatioOf(newest.level), ...variable.kinks(schedule, newest.level, to), logRatioOf(to)]
  const points = pairs(ends).flatMap(([high, low]) => {
    const count = Math.max(1, Math.ceil((high - low) / widest))
    const width = (low - high) / count
    return Array.from({ length: count }, (_, i) => gaussLegendre(high + i * width, high + (i + 1) * width)).flat()
  })
  const nodes = used.map(({ level }) => variable.at(level))
  const samples = points.map(
    ([logRatio, weight]) => [variable.atLogRatio(schedule, logRatio), weight * Math.exp(logRatio)] as const,
  )
  return older.map((_, j) => samples.reduce((sum, [at, weight]) => sum + weight * lagrange(nodes, j + 1, at), 0))
}

/** Widest piece of log r that the rule of 8 points integrates r · polynomial over to 1e-15. */
const widest = 1

function logRatioOf(level: Level): number {
  return Math.log(ratioOf(level))
}
