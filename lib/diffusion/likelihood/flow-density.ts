/** log p(x) by the probability-flow ODE (Song et al. 2021, arXiv 2011.13456, eq. 39), for any schedule: see `flow.ts`. */
import { type AdaptiveSolver, solveAdaptively } from './adaptive-flow.js'
import { Flow, type FlowProblem } from './flow.js'
import { type SteppedSolver, solveInSteps } from './stepped-flow.js'

/** Adaptive with control of each sample's error, or steps that grow in equal ratios away from the data. */
export type FlowSolver = AdaptiveSolver | SteppedSolver

export interface FlowRequest extends FlowProblem {
  readonly solver: FlowSolver
  /** Told the share of the way that the sample furthest behind has come. */
  readonly onProgress?: ((fraction: number) => void) | undefined
}

export interface FlowDensity {
  /** log p(x) in nats, N. */
  readonly logDensities: Float64Array
  /** How often the model was asked about each sample, N; a trace's probes do not count. */
  readonly evaluations: number[]
}

const solvers = {
  rk45: solveAdaptively,
  rk4: solveInSteps,
  heun: solveInSteps,
} as const satisfies Record<FlowSolver['kind'], unknown>

export const flowSolverKinds = Object.keys(solvers) as [FlowSolver['kind'], ...FlowSolver['kind'][]]

/** @throws DpmError DPM_NON_FINITE where the flow leaves the numbers, DPM_ABORTED. */
export async function flowDensity({ solver, onProgress, ...problem }: FlowRequest): Promise<FlowDensity> {
  const flow = new Flow(problem)
  const solve: (flow: Flow, solver: never, onProgress?: (fraction: number) => void) => Promise<void> =
    solvers[solver.kind]
  await solve(flow, solver as never, onProgress)
  return { logDensities: flow.logDensities(), evaluations: flow.evaluations }
}
