/** Whether the first line of a table has the names of its columns, or the first row. */
import type { ColumnBelow } from './cell-store.js'
import { isMissing, isPlainInteger } from './number-text.js'

export type FirstLine = 'names' | 'numbers' | 'unclear'

/** What is known of one column: its cell in the first line, and all below. */
interface Column extends ColumnBelow {
  readonly first: string
  /** The first cell as a number; NaN where it is none. */
  readonly value: number
  /** More numbers than words stand below. */
  readonly isNumeric: boolean
}

/**
 * Names, where words stand above columns of numbers; a row, where every cell is a number or missing and the line does not
 * look as names of numbers do (0, 1, 2, …; years; unlike all below). What could be either is unclear: neither a row that
 * is lost nor one that is made up would be noticed.
 * @param values the cells as numbers, NaN where they are none
 * @param below of each column; the first line left out
 * @param rows below the first line
 * @param recurs whether the cell of a column comes again below
 * @param countsRows whether the numbers below in a column only name the rows
 */
export function judgeFirstLine(
  cells: readonly string[],
  values: readonly number[],
  below: readonly ColumnBelow[],
  rows: number,
  recurs: (column: number) => boolean,
  countsRows: (column: number) => boolean,
): FirstLine {
  const columns = below.map((one, i): Column => {
    const isNumeric = one.numbers > 0 && one.numbers >= one.words
    return { ...one, first: (cells[i] ?? '').trim(), value: values[i] ?? Number.NaN, isNumeric }
  })
  const isWord = ({ first, value }: Column): boolean => Number.isNaN(value) && !isMissing(first)
  const numeric = columns.filter((column) => column.isNumeric)
  const wordsAboveNumbers = numeric.filter(isWord)
  const numbersAboveNumbers = numeric.filter(({ value }) => !Number.isNaN(value))
  const couldBeNames = lookLikeNames(numbersAboveNumbers, rows)

  if (columns.some(isWord)) {
    if (wordsAboveNumbers.length > 0) {
      // One word among numbers may be a number that was spoilt.
      return numbersAboveNumbers.length < wordsAboveNumbers.length || couldBeNames ? 'names' : 'unclear'
    }
    if (numbersAboveNumbers.length === 0) return 'names'
    const hasClassAgain = columns.some((column, i) => isWord(column) && recurs(i))
    return couldBeNames && !hasClassAgain ? 'unclear' : 'numbers'
  }
  // pandas leaves the name of the column that counts the rows empty.
  const [index, ...others] = columns
  if (index?.first === '' && others.length > 0 && others.every(({ first }) => isPlainInteger(first)) && countsRows(0)) {
    return 'names'
  }
  return numbersAboveNumbers.length === columns.length && couldBeNames ? 'unclear' : 'numbers'
}

/** Numbers that something may be called by. */
function lookLikeNames(columns: readonly Column[], rows: number): boolean {
  if (columns.length === 0 || rows === 0) return false
  const values = columns.map(({ value }) => value)
  const arePlain = columns.every(({ first }) => isPlainInteger(first))
  const isFar = columns.every((column) => rows >= 3 && isFarOutside(column))
  const isOtherwiseWritten = columns.every(({ plainIntegers, numbers }) => 2 * plainIntegers < numbers)
  if (columns.length === 1) {
    const [value = 0] = values
    const isYear = value >= 1900 && value <= 2100
    return arePlain && ((value === 0 && isOtherwiseWritten) || (isFar && (isYear || isOtherwiseWritten)))
  }
  const areCounted = values.every((value, i) => value === i)
  const doRise = values.every((value, i) => i === 0 || value > (values[i - 1] ?? 0))
  return isFar || (arePlain && doRise && (areCounted || isOtherwiseWritten))
}

/** Further from all below than these are from each other. */
function isFarOutside({ value, least, most }: Column): boolean {
  const range = most - least
  return value < least - range || value > most + range
}
