/** The classes that a column of a table has. */
import { setImmediate as turn } from 'node:timers/promises'
import { DpmError, throwIfAborted } from '../errors.js'
import { allocate } from './allocate.js'
import { isMissing, numberOf } from './number-text.js'
import type { Cells } from './table-cells.js'

/** A class for each value: more are a measurement, not a class. */
const mostClasses = 1000
/** Rows between two turns of the event loop. */
const rowsAtOnce = 1 << 18

interface Classes {
  readonly labels: Uint16Array | null
  readonly classes: readonly string[]
}

/**
 * Each value is a class, without the blanks around it; in the order of their numbers where all are numbers, else of their
 * letters.
 * @param column -1 for none
 * @throws DpmError DPM_DATA_INVALID naming the row without a class, or two ways to write one number.
 */
export async function classesOf(
  { text, length, names, place }: Cells,
  column: number,
  file: string,
  signal?: AbortSignal,
): Promise<Classes> {
  if (column < 0) return { labels: null, classes: [] }
  const invalid = (message: string, row?: number): DpmError =>
    new DpmError('DPM_DATA_INVALID', message, { details: { path: file, row, column: names[column] } })
  const name = `column "${names[column]}"`
  /** Where each value is first met: its row. */
  const first = new Map<string, number>()
  for (let row = 0; row < length; row++) {
    const value = text(row, column).trim()
    if (value === '') {
      throw invalid(`There is no class in ${name}, ${place(row)} of ${file}. Name it, or leave the row out.`, row)
    }
    if (!first.has(value)) first.set(value, row)
    if ((row + 1) % rowsAtOnce !== 0) continue
    await turn()
    throwIfAborted(signal, 'Opening a table')
  }
  requireNoMissing(first, (value, row) =>
    invalid(
      `The class in ${name}, ${place(row)} of ${file}, is ${JSON.stringify(value)}, which stands for a missing one. Name it, or leave the row out.`,
      row,
    ),
  )
  const found = [...first.keys()]
  if (found.length > mostClasses) {
    throw invalid(
      `Column "${names[column]}" of ${file} has ${found.length} values, and ${mostClasses} classes are the most. Choose another \`classColumn\`.`,
    )
  }
  const byNumber = found.every((value) => !Number.isNaN(numberOf(value)))
  const classes = found.sort((a, b) => (byNumber ? numberOf(a) - numberOf(b) : 0) || (a < b ? -1 : 1))
  for (const [i, value] of byNumber ? classes.entries() : []) {
    const before = classes[i - 1]
    if (before === undefined || numberOf(before) !== numberOf(value)) continue
    const at = (one: string): string => place(first.get(one) ?? 0)
    throw invalid(
      `The class in ${name} of ${file} is ${JSON.stringify(before)} in ${at(before)} and ${JSON.stringify(value)} in ${at(value)}, one number written in two ways. Write it in one.`,
      first.get(value),
    )
  }
  const indices = new Map(classes.map((value, index) => [value, index]))
  const labels = allocate(Uint16Array, length, `the classes of ${file}`)
  for (let row = 0; row < length; row++) labels[row] = indices.get(text(row, column).trim()) ?? 0
  return { labels, classes }
}

/** "nan" is what a program left where there was no class; "NA" and "None" may be words, but not among numbers. */
function requireNoMissing(first: ReadonlyMap<string, number>, error: (value: string, row: number) => DpmError): void {
  const missing = [...first].filter(([value]) => isMissing(value))
  const areNumbers = [...first.keys()].every((value) => isMissing(value) || !Number.isNaN(numberOf(value)))
  for (const [value, row] of missing) {
    if (/^nan$/i.test(value) || (areNumbers && first.size > missing.length)) throw error(value, row)
  }
}
