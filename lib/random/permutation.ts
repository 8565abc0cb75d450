/**
 * A shuffle that needs no memory: the place of each example is a function of (seed, epoch, position).
 *
 * Positions 0 … length - 1 are cells of a grid of rows × columns, just large enough. Each round moves the column by a
 * keyed function of the row, then the row by one of the column (a Feistel network over Z_columns × Z_rows, Black and
 * Rogaway 2002): every round can be undone, so the whole is a bijection of the grid. A cell beyond `length` is sent
 * through again until it lands inside (cycle walking), which keeps the bijection and, as the grid has fewer than
 * `columns` cells too many, is almost never needed.
 */
import { expected } from '../errors.js'
import { philoxInto, seedKey } from './philox.js'
import { noisePurposes } from './purposes.js'

const ROUNDS = 8
const MAXIMUM_LENGTH = 2 ** 40

/**
 * An exact permutation of 0 … length - 1; each call costs the same, whatever the length.
 * @throws DpmError DPM_INVALID_ARGUMENT for a length above 2^40, or numbers that are not whole.
 */
export function keyedPermutation(length: number, seed: number, epoch: number): (position: number) => number {
  if (!Number.isInteger(length) || length < 1 || length > MAXIMUM_LENGTH) {
    throw expected('a whole number from 1 to 2^40', 'length', length)
  }
  if (!Number.isInteger(epoch) || epoch < 0 || epoch >= 2 ** 32)
    throw expected('a whole number from 0 to 2^32 - 1', 'epoch', epoch)
  const [key0, key1] = seedKey(seed)
  const words = new Uint32Array(4)
  const keyed = (half: number, round: number, limit: number): number => {
    philoxInto(words, half, round, epoch, noisePurposes.shuffle, key0, key1)
    return below(words[0] ?? 0, limit)
  }
  const columns = Math.ceil(Math.sqrt(length))
  const rows = Math.ceil(length / columns)

  const shuffleOnce = (cell: number): number => {
    let column = cell % columns
    let row = Math.floor(cell / columns)
    for (let round = 0; round < ROUNDS; round++) {
      column = (column + keyed(row, 2 * round, columns)) % columns
      row = (row + keyed(column, 2 * round + 1, rows)) % rows
    }
    return row * columns + column
  }

  return (position) => {
    if (!Number.isInteger(position) || position < 0 || position >= length) {
      throw expected(`a whole number from 0 to ${length - 1}`, 'position', position)
    }
    let cell = shuffleOnce(position)
    while (cell >= length) cell = shuffleOnce(cell)
    return cell
  }
}

/** A 32-bit word as a number below `limit`; the product has at most 52 bits, so it is exact. */
function below(word: number, limit: number): number {
  return Math.floor((word * limit) / 2 ** 32)
}
