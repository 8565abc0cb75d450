/** The cells of a table as numbers; what is no number, and every cell of columns that may be classes, as text too. */
import { setImmediate as turn } from 'node:timers/promises'
import { throwIfAborted } from '../errors.js'
import { allocate } from './allocate.js'
import { isPlainInteger, mayHaveThousands, numberOf, numberWithComma } from './number-text.js'

export type Decimal = 'auto' | 'point' | 'comma'

/** What the cells of a column are, the first row left out. */
export interface ColumnBelow {
  readonly numbers: number
  /** Written in digits alone. */
  readonly plainIntegers: number
  /** Neither numbers nor missing. */
  readonly words: number
  /** Of its numbers; infinite where there is none. */
  readonly least: number
  readonly most: number
}

/** Cells between two turns of the event loop. */
const cellsAtOnce = 1 << 20

export class CellStore {
  readonly width: number
  readonly #file: string
  readonly #kept: ReadonlySet<number>
  readonly #decimal: Decimal
  /** Row-major; NaN where there is a text and no number. */
  #numbers: Float64Array
  /** Row-major: which text; -1 where the number says it all. */
  #texts: Int32Array
  #lines: Float64Array
  /** Of each column, the first row left out. */
  readonly #plainIntegers: Float64Array
  #rows = 0
  #hasPoint = false
  readonly #distinct: string[] = []
  readonly #indexOf = new Map<string, number>()

  /** @param kept columns whose cells stay as they are written */
  constructor(width: number, kept: ReadonlySet<number>, decimal: Decimal, file: string) {
    this.width = width
    this.#kept = kept
    this.#decimal = decimal
    this.#file = file
    this.#numbers = new Float64Array(width)
    this.#texts = new Int32Array(width)
    this.#lines = new Float64Array(1)
    this.#plainIntegers = new Float64Array(width)
  }

  get length(): number {
    return this.#rows
  }

  /** @param cells as many as the store is wide */
  add(cells: readonly string[], line: number): void {
    const row = this.#rows++
    if (row >= this.#lines.length) this.#grow()
    this.#lines[row] = line
    const begin = row * this.width
    for (let column = 0; column < this.width; column++) {
      const cell = cells[column] ?? ''
      const value = this.#decimal === 'comma' ? numberWithComma(cell) : numberOf(cell)
      this.#numbers[begin + column] = value
      if (row > 0 && Number.isInteger(value) && isPlainInteger(cell))
        this.#plainIntegers[column] = (this.#plainIntegers[column] ?? 0) + 1
      if (!this.#hasPoint && cell.includes('.') && !Number.isNaN(value)) this.#hasPoint = true
      this.#texts[begin + column] = Number.isNaN(value) || this.#kept.has(column) ? this.#intern(cell) : -1
    }
  }

  number(row: number, column: number): number {
    return this.#numbers[row * this.width + column] ?? Number.NaN
  }

  text(row: number, column: number): string {
    const index = this.#texts[row * this.width + column] ?? -1
    return this.#distinct[index] ?? String(this.number(row, column))
  }

  line(row: number): number {
    return this.#lines[row] ?? 0
  }

  /**
   * Decimal commas become numbers where the file has such numbers, no number with a point, and one at least that cannot be
   * meant as thousands. @returns whether there were any.
   */
  async readDecimalCommas(signal?: AbortSignal): Promise<boolean> {
    if (this.#decimal !== 'auto' || this.#hasPoint) return false
    const withComma = this.#distinct.map((text) => (text.includes(',') ? numberWithComma(text) : Number.NaN))
    if (!withComma.some((value, i) => !Number.isNaN(value) && !mayHaveThousands(this.#distinct[i] ?? ''))) return false
    await this.#each(signal, (at) => {
      const value = withComma[this.#texts[at] ?? -1]
      if (value !== undefined && !Number.isNaN(value)) this.#numbers[at] = value
    })
    return true
  }

  /** Of all rows but the first. @param isMissing of a text that is no number */
  async below(isMissing: (text: string) => boolean, signal?: AbortSignal): Promise<readonly ColumnBelow[]> {
    const { width } = this
    const missing = this.#distinct.map(isMissing)
    const columns = Array.from(this.#plainIntegers, (plainIntegers) => ({
      numbers: 0,
      plainIntegers,
      words: 0,
      least: Number.POSITIVE_INFINITY,
      most: Number.NEGATIVE_INFINITY,
    }))
    await this.#each(signal, (at) => {
      const column = columns[at % width]
      if (!column || at < width) return
      const value = this.#numbers[at] ?? Number.NaN
      const text = this.#texts[at] ?? -1
      if (Number.isNaN(value)) {
        if (missing[text] !== true) column.words++
        return
      }
      column.numbers++
      if (value < column.least) column.least = value
      if (value > column.most) column.most = value
    })
    return columns
  }

  /** Whether a column's text comes again below the first row. */
  recurs(column: number): boolean {
    const first = this.#texts[column] ?? -1
    for (let row = 1; row < this.#rows && first >= 0; row++) {
      if (this.#texts[row * this.width + column] === first) return true
    }
    return false
  }

  /** Whether the numbers of a column, from a row on, are whole, not below 0 and each another: they name the rows. */
  countsRows(column: number, from: number): boolean {
    const values = new Float64Array(this.#rows - from)
    for (let row = from; row < this.#rows; row++) values[row - from] = this.number(row, column)
    if (!values.every((value) => Number.isInteger(value) && value >= 0)) return false
    values.sort()
    return values.length > 0 && values.every((value, i) => i === 0 || value !== values[i - 1])
  }

  #grow(): void {
    const rows = this.#lines.length * 2
    const grown = <T extends Float64Array | Int32Array>(
      from: T,
      array: { new (length: number): T; readonly BYTES_PER_ELEMENT: number },
      length: number,
    ): T => {
      const larger = allocate(array, length, `the cells of ${this.#file}`)
      larger.set(from)
      return larger
    }
    this.#numbers = grown(this.#numbers, Float64Array, rows * this.width)
    this.#texts = grown(this.#texts, Int32Array, rows * this.width)
    this.#lines = grown(this.#lines, Float64Array, rows)
  }

  #intern(cell: string): number {
    const known = this.#indexOf.get(cell)
    if (known !== undefined) return known
    // A part of a string keeps all of it: a copy does not.
    const text = Buffer.from(cell, 'utf16le').toString('utf16le')
    this.#distinct.push(text)
    this.#indexOf.set(text, this.#distinct.length - 1)
    return this.#distinct.length - 1
  }

  async #each(signal: AbortSignal | undefined, use: (at: number) => void): Promise<void> {
    const end = this.#rows * this.width
    for (let begin = 0; begin < end; begin += cellsAtOnce) {
      for (let at = begin; at < Math.min(end, begin + cellsAtOnce); at++) use(at)
      await turn()
      throwIfAborted(signal, `Reading ${this.#file}`)
    }
  }
}
