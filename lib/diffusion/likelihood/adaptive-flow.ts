/**
 * The probability flow with steps that adapt to each sample: Dormand and Prince's method of order 5, whose step is taken
 * where the method of order 4 in it differs by less than the tolerance, element by element in the root mean square, and in
 * nats per dimension for the divergence's integral. A sample's steps do not depend on those it is computed with.
 */
import { DpmError } from '../../errors.js'
import type { Flow } from './flow.js'
import { rungeKuttas } from './runge-kutta.js'

export interface AdaptiveSolver {
  readonly kind: 'rk45'
  readonly relativeTolerance: number
  readonly absoluteTolerance: number
}

const method = rungeKuttas.rk45
const stages = method.nodes.length
/** A step of this share of the way means that the solver no longer gets on. */
const leastStep = 1e-12
/** Aim a little below the tolerance, and let steps grow and shrink within bounds (Hairer, Nørsett and Wanner 1993, II.4). */
const [safety, leastFactor, largestFactor] = [0.9, 0.2, 10]

/** Where one sample is. */
class Traveller {
  readonly sample: number
  angle: number
  width = 0
  /** Slopes of the stages, each of all elements, and their divergences. */
  readonly slopes: Float64Array[] = []
  readonly divergences: number[] = []

  constructor(sample: number, angle: number) {
    this.sample = sample
    this.angle = angle
  }
}

export async function solveAdaptively(
  flow: Flow,
  solver: AdaptiveSolver,
  onProgress?: (fraction: number) => void,
): Promise<void> {
  const all = flow.evaluations.map((_, sample) => new Traveller(sample, flow.begin))
  await evaluate(flow, all, 0)
  for (const one of all) one.width = firstWidth(flow, one, solver)
  for (let underway = all; underway.length > 0; underway = underway.filter(({ angle }) => angle < flow.end)) {
    for (let stage = 1; stage < stages; stage++) await evaluate(flow, underway, stage)
    for (const one of underway) step(flow, one, solver)
    const furthestBehind = Math.min(...underway.map(({ angle }) => angle))
    onProgress?.((furthestBehind - flow.begin) / (flow.end - flow.begin))
  }
}

/** Asks for one stage of every sample that is still underway, in one batch. */
async function evaluate(flow: Flow, travellers: readonly Traveller[], stage: number): Promise<void> {
  const { elements } = flow
  const angles = travellers.map(({ angle, width }) =>
    method.nodes[stage] === 1 ? nextAngle(flow, angle, width) : angle + (method.nodes[stage] ?? 0) * width,
  )
  const at = new Float64Array(travellers.length * elements)
  for (const [s, one] of travellers.entries()) at.set(moved(flow, one, method.stages[stage] ?? []), s * elements)
  const { u, divergences } = await flow.slopes(
    travellers.map(({ sample }) => sample),
    angles,
    at,
  )
  for (const [s, one] of travellers.entries()) {
    one.slopes[stage] = u.slice(s * elements, (s + 1) * elements)
    one.divergences[stage] = divergences[s] ?? Number.NaN
  }
}

/** The last step ends exactly at the end, where alpha may be 0. */
function nextAngle(flow: Flow, angle: number, width: number): number {
  return angle + width >= flow.end ? flow.end : angle + width
}

function moved(flow: Flow, { sample, width, slopes }: Traveller, weights: readonly number[]): Float64Array {
  const state = flow.u.slice(sample * flow.elements, (sample + 1) * flow.elements)
  for (const [j, weight] of weights.entries()) {
    const slope = slopes[j]
    if (weight === 0 || !slope) continue
    for (let i = 0; i < state.length; i++) state[i] = (state[i] ?? 0) + width * weight * (slope[i] ?? 0)
  }
  return state
}

function step(flow: Flow, one: Traveller, solver: AdaptiveSolver): void {
  const { sample, width } = one
  const error = errorOf(flow, one, solver)
  const factor = error === 0 ? largestFactor : safety * error ** (-1 / method.order)
  if (error <= 1) {
    flow.u.set(moved(flow, one, method.step), sample * flow.elements)
    flow.integrals[sample] = (flow.integrals[sample] ?? 0) + width * weighted(one.divergences, method.step)
    one.angle = nextAngle(flow, one.angle, width)
    one.slopes[0] = one.slopes[stages - 1] ?? new Float64Array(flow.elements)
    one.divergences[0] = one.divergences[stages - 1] ?? Number.NaN
  }
  one.width = Math.min(width * Math.min(Math.max(factor, leastFactor), largestFactor), flow.end - one.angle)
  if (one.angle < flow.end && one.width < leastStep * (flow.end - flow.begin)) {
    throw new DpmError(
      'DPM_NON_FINITE',
      `The probability flow of sample ${sample} cannot be followed at a tolerance of ${solver.relativeTolerance}: its steps became too small. Use a larger tolerance, or a solver with a fixed number of steps.`,
    )
  }
}

/** The step's error in tolerances: at most 1 is good. */
function errorOf(flow: Flow, one: Traveller, { relativeTolerance, absoluteTolerance }: AdaptiveSolver): number {
  const weights = method.error ?? []
  const next = moved(flow, one, method.step)
  let squares = 0
  for (let i = 0; i < next.length; i++) {
    const size = Math.max(Math.abs(flow.u[one.sample * flow.elements + i] ?? 0), Math.abs(next[i] ?? 0))
    const error = one.width * weights.reduce((sum, weight, j) => sum + weight * (one.slopes[j]?.[i] ?? 0), 0)
    squares += (error / (absoluteTolerance + relativeTolerance * size)) ** 2
  }
  const perDimension = (one.width * weighted(one.divergences, weights)) / flow.elements
  const size = Math.abs(flow.integrals[one.sample] ?? 0) / flow.elements
  const ofIntegral = Math.abs(perDimension) / (absoluteTolerance + relativeTolerance * size)
  return Math.max(Math.sqrt(squares / next.length), ofIntegral)
}

function weighted(values: readonly number[], weights: readonly number[]): number {
  return weights.reduce((sum, weight, j) => sum + weight * (values[j] ?? 0), 0)
}

/** A hundredth of the length over which the slope would change the state by as much as it is (Hairer et al., II.4). */
function firstWidth(flow: Flow, { sample, slopes }: Traveller, solver: AdaptiveSolver): number {
  const state = flow.u.subarray(sample * flow.elements, (sample + 1) * flow.elements)
  const norm = (values: Float64Array): number =>
    Math.sqrt(values.reduce((sum, one, i) => sum + (one / scale(state[i] ?? 0)) ** 2, 0))
  const scale = (value: number): number => solver.absoluteTolerance + solver.relativeTolerance * Math.abs(value)
  const [size, speed] = [norm(state), norm(slopes[0] ?? state)]
  return Math.min(speed > 0 ? (0.01 * size) / speed : flow.end, flow.end - flow.begin)
}
