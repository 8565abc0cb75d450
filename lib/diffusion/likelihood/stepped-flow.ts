/** The probability flow in steps that are chosen beforehand. */
import type { Flow, Slopes } from './flow.js'
import { rungeKuttas } from './runge-kutta.js'

export interface SteppedSolver {
  readonly kind: 'rk4' | 'heun'
  readonly steps: number
}

/**
 * Steps between levels at which log(r / (1 + r)) is evenly spread: in equal ratios while there is little noise, and finite
 * where only noise is left.
 */
export async function solveInSteps(
  flow: Flow,
  { kind, steps }: SteppedSolver,
  onProgress?: (fraction: number) => void,
): Promise<void> {
  const method = rungeKuttas[kind]
  const depth = (angle: number): number => -Math.log1p(Math.cos(angle) / Math.sin(angle))
  const [first, last] = [depth(flow.begin), depth(flow.end)]
  const angles = Array.from({ length: steps + 1 }, (_, i) => {
    if (i === 0 || i === steps) return i === 0 ? flow.begin : flow.end
    return Math.atan2(1, Math.expm1(-(first + ((last - first) * i) / steps)))
  })
  const samples = flow.evaluations.map((_, sample) => sample)
  for (const [i, from] of angles.slice(0, -1).entries()) {
    const width = (angles[i + 1] ?? flow.end) - from
    const slopes: Slopes[] = []
    for (const [stage, node] of method.nodes.entries()) {
      const at = combined(flow.u, slopes, method.stages[stage] ?? [], width)
      slopes.push(
        await flow.slopes(
          samples,
          samples.map(() => (node === 1 ? from + width : from + node * width)),
          at,
        ),
      )
    }
    flow.u.set(combined(flow.u, slopes, method.step, width))
    for (const sample of samples) {
      const rise = slopes.reduce(
        (sum, { divergences }, j) => sum + (method.step[j] ?? 0) * (divergences[sample] ?? 0),
        0,
      )
      flow.integrals[sample] = (flow.integrals[sample] ?? 0) + width * rise
    }
    onProgress?.((i + 1) / steps)
  }
}

/** u + width · sum of weight_j · slope_j. */
function combined(u: Float64Array, slopes: readonly Slopes[], weights: readonly number[], width: number): Float64Array {
  return u.map(
    (value, i) => value + width * weights.reduce((sum, weight, j) => sum + weight * (slopes[j]?.u[i] ?? 0), 0),
  )
}
