/**
 * The probability-flow ODE (Song et al. 2021, arXiv 2011.13456, §4.3) along a variable u of the level, by any Runge–Kutta
 * method. On every path, x = scale · y and dy / du is a sum of x and the clean image:
 *
 *     path        u                   y          dy / du
 *     log-ratio   ln(sigma / alpha)   x / alpha  x / alpha - clean
 *     ratio       sigma / alpha       x / alpha  (x - alpha clean) / sigma = the noise in x
 *     straight    sigma = 1 - alpha   x          (x - clean) / sigma      = noise - clean
 *
 * The last step is denoising, since at the clean level there is no noise left to tell the slope by; so is what there is of
 * a step that starts where sigma / alpha is infinite, on the paths that have no number for it:
 * x_to = alpha_to clean + (sigma_to / sigma_from) (x - alpha_from clean).
 */
import { type Level, ratioOf, type Schedule } from '../diffusion/schedule.js'
import { DpmError } from '../errors.js'
import type { SamplerVerbs, Terms, Value } from './define-sampler.js'
import { pairs } from './levels.js'
import type { Tableau } from './runge-kutta-tableau.js'

export interface FlowPath {
  variable(level: Level): number
  /** The level at a value of the variable: between two of the run. */
  level(schedule: Schedule, variable: number): Level
  scale(level: Level): number
  /** Factors of x and of the clean image in dy / du. */
  slope(level: Level): { readonly x: number; readonly clean: number }
}

export const flowPaths = {
  'log-ratio': {
    variable: (level) => Math.log(ratioOf(level)),
    level: (schedule, variable) => schedule.atRatio(Math.exp(variable)),
    scale: ({ alpha }) => alpha,
    slope: ({ alpha }) => ({ x: 1 / alpha, clean: -1 }),
  },
  ratio: {
    variable: ratioOf,
    level: (schedule, variable) => schedule.atRatio(variable),
    scale: ({ alpha }) => alpha,
    slope: ({ alpha, sigma }) => ({ x: 1 / sigma, clean: -alpha / sigma }),
  },
  straight: {
    variable: ({ sigma }) => sigma,
    level: (schedule, variable) => schedule.atRatio(variable / (1 - variable)),
    scale: () => 1,
    slope: ({ sigma }) => ({ x: 1 / sigma, clean: -1 / sigma }),
  },
} as const satisfies Record<string, FlowPath>

/** The paths that every schedule has. */
export const ratioPaths = ['log-ratio', 'ratio'] as const

type Verbs = Pick<SamplerVerbs<unknown>, 'levels' | 'schedule' | 'denoise' | 'combine' | 'emit'>

/** From x at the first level to x at the last. */
export function rungeKuttaSteps(x: Value, tableau: Tableau, path: FlowPath, verbs: Verbs): Value {
  for (const [from, to] of pairs(verbs.levels)) {
    const finite = to.sigma > 0 && Number.isFinite(path.variable(from))
    const step = finite ? rungeKuttaStep(x, from, to, tableau, path, verbs) : denoisingStep(x, from, to, verbs)
    x = verbs.emit(step.x, step.clean)
  }
  return x
}

/** One step, and the clean image that it began with. */
function rungeKuttaStep(
  x: Value,
  from: Level,
  to: Level,
  { nodes, stages, weights }: Tableau,
  path: FlowPath,
  { schedule, denoise, combine }: Verbs,
) {
  const start = path.variable(from)
  const step = path.variable(to) - start
  const slopes: Value[] = []
  const moved = (level: Level, factors: readonly number[]): Value => {
    const scale = path.scale(level)
    const moves = slopes.map((slope, j) => [scale * step * (factors[j] ?? 0), slope] as const)
    const terms: Terms = [[scale / path.scale(from), x], ...moves]
    return combine(terms)
  }
  let first: Value | undefined
  nodes.forEach((node, i) => {
    const level = node === 0 ? from : node === 1 ? to : path.level(schedule, start + node * step)
    const at = moved(level, stages[i] ?? [])
    const clean = denoise(at, level)
    const factors = path.slope(level)
    slopes.push(
      combine([
        [factors.x, at],
        [factors.clean, clean],
      ]),
    )
    first ??= clean
  })
  if (!first) throw new DpmError('DPM_INTERNAL', 'A Runge–Kutta table has no stages.')
  return { x: moved(to, weights), clean: first }
}

function denoisingStep(x: Value, from: Level, to: Level, { denoise, combine }: Verbs) {
  const clean = denoise(x, from)
  const keep = to.sigma / from.sigma
  const terms: Terms = [
    [keep, x],
    [to.alpha - keep * from.alpha, clean],
  ]
  return { x: combine(terms), clean }
}
