/** An image made smaller by a whole factor: each value is the mean of a square of factor × factor values. */
import { expected } from '../errors.js'

/**
 * Means of squares of C×H×W values, row by row, C×(H/factor)×(W/factor) of them.
 * @throws DpmError DPM_INVALID_ARGUMENT when the factor does not divide height and width.
 */
export function shrink(
  values: ArrayLike<number>,
  { channels, height, width }: { readonly channels: number; readonly height: number; readonly width: number },
  factor: number,
): Float32Array<ArrayBuffer> {
  if (!Number.isInteger(factor) || factor < 1 || height % factor !== 0 || width % factor !== 0) {
    throw expected(`a whole number that divides ${height} and ${width}`, 'factor', factor)
  }
  const across = width / factor
  const small = new Float32Array((channels * height * across) / factor)
  const sums = new Float64Array(across)
  for (let row = 0, at = 0; row < channels * height; row++) {
    for (let column = 0; column < across; column++) {
      for (let i = 0; i < factor; i++) sums[column] = (sums[column] ?? 0) + (values[at++] ?? 0)
    }
    if (row % factor !== factor - 1) continue
    const begin = ((row + 1) / factor - 1) * across
    for (let column = 0; column < across; column++) small[begin + column] = (sums[column] ?? 0) / (factor * factor)
    sums.fill(0)
  }
  return small
}
