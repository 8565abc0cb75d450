/**
 * The assignment problem: the permutation of least total cost, exactly.
 *
 * By shortest augmenting paths with potentials (Jonker and Volgenant 1987, Computing 38:325-340; Crouse 2016, IEEE TAES 52(4),
 * §II): rows are taken in one after the other, each over the path of least reduced cost to a column that is still free. The
 * potentials keep every reduced cost cost - u - v at 0 or above and at 0 where assigned, which proves the result the best.
 * About n³ steps: milliseconds for 128 × 128, a second or two for 1024 × 1024, hence the pauses.
 */
import { DpmError, expected } from '../errors.js'

/**
 * Pauses after every row.
 * @param costs size × size, row after row; finite
 * @returns the column of each row.
 * @throws DpmError DPM_INVALID_ARGUMENT when the costs are not size × size finite numbers.
 */
export function* assignment(costs: ArrayLike<number>, size: number): Generator<void, Int32Array, undefined> {
  if (costs.length !== size * size) throw expected(`${size} × ${size} costs`, 'costs', costs.length)
  const columnOf = new Int32Array(size).fill(-1)
  const rowOf = new Int32Array(size).fill(-1)
  const rowPotential = new Float64Array(size)
  const columnPotential = new Float64Array(size)
  const distance = new Float64Array(size)
  /** The row by which the shortest path reaches a column. */
  const from = new Int32Array(size)
  const settled = new Uint8Array(size)

  for (let start = 0; start < size; start++) {
    distance.fill(Number.POSITIVE_INFINITY)
    settled.fill(0)
    let row = start
    let reached = 0
    let free = -1
    while (free < 0) {
      const base = reached - (rowPotential[row] ?? 0)
      let nearest = Number.POSITIVE_INFINITY
      let next = -1
      for (let column = 0; column < size; column++) {
        if (settled[column]) continue
        const path = base + (costs[row * size + column] ?? 0) - (columnPotential[column] ?? 0)
        if (path < (distance[column] ?? 0)) {
          distance[column] = path
          from[column] = row
        }
        const length = distance[column] ?? 0
        // Of columns equally near, a free one ends the search.
        if (length < nearest || (length === nearest && next >= 0 && rowOf[column] === -1)) {
          nearest = length
          next = column
        }
      }
      if (next < 0) {
        throw new DpmError(
          'DPM_INVALID_ARGUMENT',
          `Expected finite costs but row ${row} has NaN or only infinite ones.`,
        )
      }
      settled[next] = 1
      reached = nearest
      const taken = rowOf[next] ?? -1
      if (taken < 0) free = next
      else row = taken
    }
    rowPotential[start] = (rowPotential[start] ?? 0) + reached
    for (let column = 0; column < size; column++) {
      if (!settled[column] || column === free) continue
      const closer = reached - (distance[column] ?? 0)
      const taken = rowOf[column] ?? -1
      rowPotential[taken] = (rowPotential[taken] ?? 0) + closer
      columnPotential[column] = (columnPotential[column] ?? 0) - closer
    }
    for (let column = free; ; ) {
      const assigned = from[column] ?? 0
      const before = columnOf[assigned] ?? -1
      rowOf[column] = assigned
      columnOf[assigned] = column
      if (assigned === start) break
      column = before
    }
    yield
  }
  return columnOf
}
