/**
 * Embedded Runge–Kutta methods that choose their steps, for many systems dy / du = slope(u, y) of one shape at once, each with a
 * place u and a step of its own (Hairer, Nørsett and Wanner, "Solving Ordinary Differential Equations I", 1993, §II.4). With e the
 * difference between the results of both weights, a step counts when
 *
 *     error = sqrt(mean over the elements of (e / (atol + rtol · max(|y before|, |y after|)))²) ≤ 1
 *
 * and the next one is, with k = 1 + the lower order, by a proportional-integral controller (Gustafsson 1991, "Control theoretic techniques
 * for stepsize selection in explicit Runge-Kutta methods"), between 1/5 and 5 times as long and never longer after a step that did not
 * count:
 *
 *     h ← 0.9 h · error^(-0.7 / k) · (error before)^(0.4 / k)
 *
 * No number of one system depends on another's: alone or in company they give the same bytes.
 */
import { DpmError, throwIfAborted } from '../errors.js'
import type { EmbeddedTableau } from './runge-kutta-tableau.js'

export interface AdaptiveSystems {
  readonly count: number
  /** count × elements at `start`. */
  readonly y: Float64Array
  /** u where all begin, and where all end. */
  readonly start: number
  readonly end: number
  /** Length of the first step that is tried, above 0. */
  readonly firstStep: number
  /**
   * dy / du of some of the systems.
   * @param u of each, n
   * @param y n × elements
   * @param systems which these are, 0 … count-1
   * @returns n × elements
   */
  slope(u: Float64Array, y: Float64Array, systems: readonly number[]): Promise<Float64Array>
}

export interface AdaptiveTolerances {
  readonly rtol: number
  readonly atol: number
  /** Slopes that one system may ask for. */
  readonly maxEvaluations: number
  readonly signal?: AbortSignal | undefined
}

/** Where all systems stand, after every try of a step. */
export interface AdaptivePlaces {
  /** count × elements, the integrator's own until the next step. */
  readonly y: Float64Array
  /** Of each system. */
  readonly u: Float64Array
}

export interface AdaptiveSolution {
  /** count × elements at `end`. */
  readonly y: Float64Array<ArrayBuffer>
  /** Slopes that each system asked for. */
  readonly evaluations: readonly number[]
}

/** A system that is on its way. Arrays are replaced, never written to. */
interface Traveller {
  readonly index: number
  u: number
  y: Float64Array
  /** Of the stages of this step, as far as they are known: the first, at (u, y), always is. */
  slopes: Float64Array[]
  /** Signed length of the step to try. */
  step: number
  previousError: number
  /** Whether the last try did not count. */
  rejected: boolean
  evaluations: number
}

const safety = 0.9
const leastFactor = 1 / 5
const mostFactor = 5
/** Below it the controller's memory of a step that was all but exact would hold the next ones back. */
const leastError = 1e-4

/**
 * Solves all systems to the end.
 * @throws DpmError DPM_INVALID_OPTION when one needs more than `maxEvaluations`, DPM_NON_FINITE when a slope is no number,
 *   DPM_ABORTED.
 */
export async function* integrateAdaptively(
  systems: AdaptiveSystems,
  tableau: EmbeddedTableau,
  tolerances: AdaptiveTolerances,
): AsyncGenerator<AdaptivePlaces, AdaptiveSolution, undefined> {
  const { count, start, end } = systems
  const elements = systems.y.length / Math.max(1, count)
  const y = systems.y.slice()
  const u = new Float64Array(count).fill(start)
  const direction = Math.sign(end - start)
  const all = Array.from(
    { length: count },
    (_, index): Traveller => ({
      index,
      u: start,
      y: y.slice(index * elements, (index + 1) * elements),
      slopes: [],
      step: direction * systems.firstStep,
      previousError: 1,
      rejected: false,
      evaluations: 0,
    }),
  )
  let active = start === end ? [] : all
  if (active.length > 0) await ask(active, systems, 0, [])
  while (active.length > 0) {
    throwIfAborted(tolerances.signal, 'Sampling')
    await tryStep(active, systems, tableau, tolerances)
    for (const one of active) {
      y.set(one.y, one.index * elements)
      u[one.index] = one.u
    }
    yield { y, u }
    active = active.filter((one) => one.u !== end)
  }
  return { y, evaluations: all.map(({ evaluations }) => evaluations) }
}

/** One step of every system that is on its way: stage by stage together, each with its own length. */
async function tryStep(
  active: readonly Traveller[],
  systems: AdaptiveSystems,
  { order, nodes, stages, weights, embedded }: EmbeddedTableau,
  tolerances: AdaptiveTolerances,
): Promise<void> {
  for (const one of active) {
    if (one.evaluations + nodes.length - 1 > tolerances.maxEvaluations) throw tooMany(one, systems, tolerances)
    const left = systems.end - one.u
    // A step that would end just short of the end goes there.
    if (Math.abs(one.step) * (1 + 1e-9) >= Math.abs(left)) one.step = left
  }
  for (const [stage, node] of nodes.entries()) if (stage > 0) await ask(active, systems, node, stages[stage] ?? [])
  const differences = weights.map((weight, j) => weight - (embedded.weights[j] ?? 0))
  const power = 1 + Math.min(order, embedded.order)
  for (const one of active) {
    const after = moved(one, weights, 1)
    settle(one, after, scaledError(one, after, moved(one, differences, 0), tolerances), power, systems.end)
  }
}

/** Adds the slopes of a stage. */
async function ask(
  active: readonly Traveller[],
  { slope }: AdaptiveSystems,
  node: number,
  factors: readonly number[],
): Promise<void> {
  const at = active.map((one) => moved(one, factors, 1))
  const u = Float64Array.from(active, (one) => one.u + node * one.step)
  const members = active.map(({ index }) => index)
  const found = await slope(u, joined(at), members)
  const elements = found.length / active.length
  active.forEach((one, n) => {
    one.slopes.push(found.slice(n * elements, (n + 1) * elements))
    one.evaluations += 1
  })
}

/** share · y + step · Σ factor · slope. */
function moved({ y, step, slopes }: Traveller, factors: readonly number[], share: number): Float64Array {
  return y.map((value, element) => {
    let sum = 0
    for (let j = 0; j < factors.length; j++) sum += (factors[j] ?? 0) * (slopes[j]?.[element] ?? 0)
    return share * value + step * sum
  })
}

function scaledError(
  { index, y, u }: Traveller,
  after: Float64Array,
  difference: Float64Array,
  { rtol, atol }: AdaptiveTolerances,
): number {
  let sum = 0
  for (let element = 0; element < after.length; element++) {
    const size = Math.max(Math.abs(y[element] ?? 0), Math.abs(after[element] ?? 0))
    sum += ((difference[element] ?? 0) / (atol + rtol * size)) ** 2
  }
  const error = Math.sqrt(sum / Math.max(1, after.length))
  if (Number.isFinite(error)) return error
  throw new DpmError(
    'DPM_NON_FINITE',
    `The flow of sample ${index} is no finite number any more at ${u}. Look at what the network returns there.`,
  )
}

/** Takes the step where its error allows it, and chooses the next one's length. */
function settle(one: Traveller, after: Float64Array, error: number, power: number, end: number): void {
  const [first, last] = [one.slopes[0], one.slopes.at(-1)]
  if (!first || !last) throw new DpmError('DPM_INTERNAL', 'A step was taken without slopes.')
  if (error > 1) {
    one.slopes = [first]
    one.step *= Math.max(leastFactor, safety * error ** (-1 / power))
    one.rejected = true
    return
  }
  const floored = Math.max(error, leastError)
  const wanted = safety * floored ** (-0.7 / power) * one.previousError ** (0.4 / power)
  one.u = one.step === end - one.u ? end : one.u + one.step
  one.y = after
  // The last stage was asked at the end of the step, with the weights for its row.
  one.slopes = [last]
  one.step *= Math.min(one.rejected ? 1 : mostFactor, Math.max(leastFactor, wanted))
  one.previousError = floored
  one.rejected = false
}

function tooMany(one: Traveller, { start, end }: AdaptiveSystems, { rtol, atol, maxEvaluations }: AdaptiveTolerances) {
  const share = Math.floor((100 * (one.u - start)) / (end - start))
  return new DpmError(
    'DPM_INVALID_OPTION',
    `Sample ${one.index} is ${share} % of the way after ${one.evaluations} evaluations, and \`maxEvaluations\` is ${maxEvaluations} (rtol ${rtol}, atol ${atol}). Allow more evaluations, or larger tolerances.`,
  )
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const result = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const part of parts) {
    result.set(part, offset)
    offset += part.length
  }
  return result
}
