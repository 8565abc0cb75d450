/** Updates as learners see them, made of numbers. */
import type { Observation } from '../../lib/diffusion/learned/learner.js'
import { type Row, rowFields } from '../../lib/native/binding.js'

/** Rows side by side, as native code takes them. */
export function flatRows(rows: readonly Partial<Row>[]): Float64Array {
  return Float64Array.from(rows.flatMap((row) => rowFields.map((field) => row[field] ?? 0)))
}

/** What is not said is of no account to the learner at hand. */
export function observation(parts: Partial<Observation> & Pick<Observation, 'times' | 'losses'>): Observation {
  const count = parts.times.length
  return {
    learningRate: 1e-3,
    scales: new Float64Array(count).fill(1),
    rows: flatRows(Array.from({ length: count }, () => ({ weight: 1 }))),
    bounds: new Float64Array(count).fill(Number.NaN),
    rowGradients: null,
    rowOf: () => {
      throw new Error('no rows here')
    },
    values: () => new Float64Array(256).fill(1 / 256),
    ...parts,
  }
}
