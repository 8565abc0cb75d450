/** An image made larger by a whole factor. */
import { expected } from '../errors.js'

/** What two neighbouring values say of a place between: places and weights along one axis. */
interface Neighbours {
  readonly before: Int32Array
  readonly after: Int32Array
  /** Weight of `after`; the rest is that of `before`. */
  readonly share: Float64Array
}

/**
 * `nearest`: every value becomes a square of factor × factor. `bilinear`: linear between the middles of values, and the
 * outermost values beyond them (PyTorch's bilinear interpolation without aligned corners).
 */
export const enlargements = {
  nearest: (place, factor) => Math.floor(place / factor),
  bilinear: (place, factor) => (place + 0.5) / factor - 0.5,
} as const satisfies Record<string, (place: number, factor: number) => number>
export type Enlargement = keyof typeof enlargements

/**
 * C×H×W values, row by row, as C×(factor H)×(factor W) of them.
 * @throws DpmError DPM_INVALID_ARGUMENT for a factor that is not a whole number of at least 1.
 */
export function enlarge(
  values: ArrayLike<number>,
  { channels, height, width }: { readonly channels: number; readonly height: number; readonly width: number },
  factor: number,
  kind: Enlargement,
): Float32Array<ArrayBuffer> {
  if (!Number.isInteger(factor) || factor < 1) throw expected('a whole number of at least 1', 'factor', factor)
  const down = neighbours(height, factor, kind)
  const across = neighbours(width, factor, kind)
  const [rows, columns] = [factor * height, factor * width]
  const large = new Float32Array(channels * rows * columns)
  for (let channel = 0, at = 0; channel < channels; channel++) {
    for (let row = 0; row < rows; row++) {
      const above = (channel * height + (down.before[row] ?? 0)) * width
      const below = (channel * height + (down.after[row] ?? 0)) * width
      const low = down.share[row] ?? 0
      for (let column = 0; column < columns; column++) {
        const [left, right, share] = [across.before[column] ?? 0, across.after[column] ?? 0, across.share[column] ?? 0]
        const top = (1 - share) * (values[above + left] ?? 0) + share * (values[above + right] ?? 0)
        const bottom = (1 - share) * (values[below + left] ?? 0) + share * (values[below + right] ?? 0)
        large[at++] = (1 - low) * top + low * bottom
      }
    }
  }
  return large
}

function neighbours(size: number, factor: number, kind: Enlargement): Neighbours {
  const count = size * factor
  const found = { before: new Int32Array(count), after: new Int32Array(count), share: new Float64Array(count) }
  for (let place = 0; place < count; place++) {
    const at = Math.min(Math.max(enlargements[kind](place, factor), 0), size - 1)
    found.before[place] = Math.floor(at)
    found.after[place] = Math.min(Math.floor(at) + 1, size - 1)
    found.share[place] = at - Math.floor(at)
  }
  return found
}
