/** log p(x) by the probability-flow ODE (Song et al. 2021, arXiv 2011.13456, eq. 39): the equations are in `probability-flow.ts`. */
import { integrateAdaptively } from '../sampling/adaptive-runge-kutta.js'
import { embeddedTableaus, type TableauName, tableauNames, tableaus } from '../sampling/runge-kutta-tableau.js'
import { type FlowOptions, ProbabilityFlow, type Slopes } from './probability-flow.js'

/** Dormand and Prince's method with steps that adapt to each sample, or so many steps of a method that has a name. */
export type FlowSolver =
  | { readonly kind: 'rk45'; readonly tolerance: number; readonly maxEvaluations: number }
  | { readonly kind: TableauName; readonly steps: number }
export const flowSolverKinds = ['rk45', ...tableauNames] as const

export interface FlowDensityOptions extends FlowOptions {
  readonly solver: FlowSolver
  /** Told the share of the way that the sample furthest behind has come. */
  readonly onProgress?: ((fraction: number) => void) | undefined
}

export interface FlowDensity {
  /** log p(x) in nats, N. */
  readonly logDensities: Float64Array
  /** How often the flow's slope was asked for, N; each takes an evaluation of the denoiser for every probe. */
  readonly evaluations: readonly number[]
}

/** @throws DpmError DPM_NON_FINITE where the flow leaves the numbers, DPM_INVALID_OPTION for too many evaluations, DPM_ABORTED. */
export async function flowDensity({ solver, onProgress, ...options }: FlowDensityOptions): Promise<FlowDensity> {
  const flow = new ProbabilityFlow(options)
  return solver.kind === 'rk45'
    ? solveAdaptively(flow, solver, options, onProgress)
    : solveInSteps(flow, solver, options, onProgress)
}

/** Noise that doubles is a small step, but no smaller than this: 8-bit data has little to say about less noise. */
const firstStep = 1e-3

type OnProgress = FlowDensityOptions['onProgress']

/**
 * The integral of the divergence is one more element of each system, times sqrt(D + 1) / D: in the root mean square over
 * the elements its error in nats per dimension then counts as much as all others together.
 */
async function solveAdaptively(
  flow: ProbabilityFlow,
  { tolerance, maxEvaluations }: Extract<FlowSolver, { kind: 'rk45' }>,
  { examples, signal }: FlowOptions,
  onProgress: OnProgress,
): Promise<FlowDensity> {
  const { elements, begin, end } = flow
  const count = examples.length
  const integralScale = Math.sqrt(elements + 1) / elements
  const extended = (u: Float64Array, integrals: ArrayLike<number>): Float64Array => {
    const systems = integrals.length
    const y = new Float64Array(systems * (elements + 1))
    for (let n = 0; n < systems; n++) {
      y.set(u.subarray(n * elements, (n + 1) * elements), n * (elements + 1))
      y[n * (elements + 1) + elements] = integralScale * (integrals[n] ?? 0)
    }
    return y
  }
  const stateOf = (y: Float64Array, n: number): Float64Array =>
    y.slice(n * (elements + 1), n * (elements + 1) + elements)
  const steps = integrateAdaptively(
    {
      count,
      y: extended(flow.first(), new Float64Array(count)),
      start: begin,
      end,
      firstStep: Math.min(Math.max(begin, firstStep), end - begin),
      async slope(angles, y, systems) {
        const u = new Float64Array(systems.length * elements)
        for (let n = 0; n < systems.length; n++) u.set(stateOf(y, n), n * elements)
        const slopes = await flow.slopes(systems, [...angles], u)
        return extended(slopes.u, slopes.divergences)
      },
    },
    embeddedTableaus['dormand-prince'],
    { rtol: tolerance, atol: tolerance, maxEvaluations, signal },
  )
  for (;;) {
    const { done, value } = await steps.next()
    if (!done) {
      onProgress?.(shareOf(Math.min(...value.u), flow))
      continue
    }
    const { y, evaluations } = value
    const integral = (n: number): number => (y[n * (elements + 1) + elements] ?? Number.NaN) / integralScale
    return {
      logDensities: Float64Array.from(examples, (_, n) => flow.logDensity(stateOf(y, n), integral(n))),
      evaluations,
    }
  }
}

/**
 * Steps between levels at which log(r / (1 + r)), r = sigma / alpha, is evenly spread: in equal ratios while there is little
 * noise, and finite where only noise is left.
 */
async function solveInSteps(
  flow: ProbabilityFlow,
  { kind, steps }: Exclude<FlowSolver, { kind: 'rk45' }>,
  { examples }: FlowOptions,
  onProgress: OnProgress,
): Promise<FlowDensity> {
  const { elements, begin, end } = flow
  const { nodes, stages, weights } = tableaus[kind]
  const angles = Array.from({ length: steps + 1 }, (_, i) => {
    if (i === 0 || i === steps) return i === 0 ? begin : end
    return Math.atan2(1, Math.expm1(-(depth(begin) + ((depth(end) - depth(begin)) * i) / steps)))
  })
  const systems = examples.map((_, n) => n)
  const integrals = new Float64Array(examples.length)
  let u = flow.first()
  for (const [i, from] of angles.slice(0, -1).entries()) {
    const width = (angles[i + 1] ?? end) - from
    const slopes: Slopes[] = []
    for (const [stage, node] of nodes.entries()) {
      const at = moved(u, slopes, stages[stage] ?? [], width)
      slopes.push(
        await flow.slopes(
          systems,
          systems.map(() => from + node * width),
          at,
        ),
      )
    }
    u = moved(u, slopes, weights, width)
    for (const n of systems) {
      const rise = slopes.reduce((sum, { divergences }, j) => sum + (weights[j] ?? 0) * (divergences[n] ?? 0), 0)
      integrals[n] = (integrals[n] ?? 0) + width * rise
    }
    onProgress?.((i + 1) / steps)
  }
  return {
    logDensities: integrals.map((integral, n) => flow.logDensity(u.slice(n * elements, (n + 1) * elements), integral)),
    evaluations: systems.map(() => steps * nodes.length),
  }
}

/** log(r / (1 + r)) at r = tan(angle). */
function depth(angle: number): number {
  return -Math.log1p(Math.cos(angle) / Math.sin(angle))
}

/** Share of the way: steps are longer the more noise there is. */
function shareOf(angle: number, { begin, end }: ProbabilityFlow): number {
  return (depth(angle) - depth(begin)) / (depth(end) - depth(begin))
}

function moved(u: Float64Array, slopes: readonly Slopes[], factors: readonly number[], width: number): Float64Array {
  return u.map((value, i) => {
    let sum = 0
    for (let j = 0; j < factors.length; j++) sum += (factors[j] ?? 0) * (slopes[j]?.u[i] ?? 0)
    return value + width * sum
  })
}
