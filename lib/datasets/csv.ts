/**
 * Separated values (RFC 4180) in pieces of any size. A line ends in LF, CRLF or CR; empty lines are passed over. A cell in
 * double quotes may hold separators, line ends and, doubled, quotes.
 */
import { DpmError } from '../errors.js'

export interface CsvRecord {
  /** As written, without the quotes around them. */
  readonly cells: readonly string[]
  /** In which it begins, from 1. */
  readonly line: number
}

const [lineFeed, carriageReturn, quote, space, tab] = [10, 13, 34, 32, 9]

/** Of a line: a network has no use for more columns. */
export const mostCells = 1_000_000
const longestCell = 2 ** 24

/** A cell's text, or where in one we are. */
type State = 'plain' | 'quoted' | 'after quote'

export class CsvReader {
  readonly #separator: number
  readonly #place: string
  readonly #use: (record: CsvRecord) => void
  #state: State = 'plain'
  #cells: string[] = []
  /** Of the cell under way, what came before `#from`. */
  #cell = ''
  #hasQuotes = false
  /** Nothing but blanks is in the cell yet: a quote would begin it. */
  #isBlank = true
  #line = 1
  #begun = 1
  #afterReturn = false

  /** @param separator one character; a space stands for any run of spaces and tabs. */
  constructor(separator: string, place: string, use: (record: CsvRecord) => void) {
    this.#separator = separator.charCodeAt(0)
    this.#place = place
    this.#use = use
  }

  /** @throws DpmError DPM_DATA_INVALID naming the line where text follows a closing quote. */
  push(text: string): void {
    const separator = this.#separator
    const spaced = separator === space
    // What is plain is taken by the run, not by the character.
    let from = 0
    const take = (to: number): void => {
      if (to <= from) return
      this.#cell += text.slice(from, to)
      if (this.#cell.length > longestCell) {
        throw this.#invalid(`has a cell of more than ${longestCell} characters`, 'Does its quote end?')
      }
    }
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (this.#afterReturn) {
        this.#afterReturn = false
        if (code === lineFeed) {
          if (this.#state !== 'quoted') from = i + 1
          continue
        }
      }
      const endsLine = code === lineFeed || code === carriageReturn
      if (endsLine) {
        this.#line++
        this.#afterReturn = code === carriageReturn
      }
      if (this.#state === 'quoted') {
        if (code !== quote) continue
        take(i)
        from = i + 1
        this.#state = 'after quote'
      } else if (endsLine) {
        if (this.#state === 'plain') take(i)
        from = i + 1
        this.#endRecord(spaced)
      } else if (code === separator || (spaced && code === tab)) {
        if (this.#state === 'plain') take(i)
        from = i + 1
        if (!spaced || this.#cell !== '' || this.#state === 'after quote') this.#endCell()
      } else if (this.#state === 'after quote') {
        if (code === quote) {
          this.#cell += '"'
          this.#state = 'quoted'
        } else if (code !== space && code !== tab) {
          throw this.#invalid(
            `has ${JSON.stringify(text[i])} after the quote that ends a cell`,
            'Double a quote that is part of a cell.',
          )
        }
        from = i + 1
      } else if (this.#isBlank && code === quote) {
        this.#cell = ''
        this.#hasQuotes = true
        this.#state = 'quoted'
        from = i + 1
      } else if (this.#isBlank && code !== space && code !== tab) this.#isBlank = false
    }
    if (this.#state !== 'after quote') take(text.length)
  }

  /** After the last piece. @throws DpmError DPM_DATA_INVALID naming the line of a quote without end. */
  end(): void {
    if (this.#state === 'quoted') {
      throw new DpmError(
        'DPM_DATA_INVALID',
        `The quote that begins in line ${this.#begun} of ${this.#place} has no end.`,
        { details: { path: this.#place, line: this.#begun } },
      )
    }
    this.#endRecord(this.#separator === space)
  }

  #endCell(): void {
    if (this.#cells.length >= mostCells) {
      throw this.#invalid(`has more than ${mostCells} cells`, 'Do its lines end?')
    }
    this.#cells.push(this.#cell)
    this.#cell = ''
    this.#isBlank = true
    this.#state = 'plain'
  }

  #endRecord(spaced: boolean): void {
    const isTrailing = spaced && this.#cells.length > 0 && this.#cell === '' && this.#state === 'plain'
    if (!isTrailing) this.#endCell()
    const [cells, line] = [this.#cells, this.#begun]
    const isEmpty = cells.length === 1 && cells[0]?.trim() === '' && !this.#hasQuotes
    this.#cells = []
    this.#hasQuotes = false
    this.#begun = this.#line
    if (!isEmpty) this.#use({ cells, line })
  }

  #invalid(reason: string, cure: string): DpmError {
    return new DpmError('DPM_DATA_INVALID', `Line ${this.#line} of ${this.#place} ${reason}. ${cure}`, {
      details: { path: this.#place, line: this.#line },
    })
  }
}

export interface NamedRows {
  readonly names: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Line of each row in the file, from 1. */
  readonly lines: readonly number[]
}

/**
 * A whole text whose first line has the names of the columns.
 * @throws DpmError DPM_DATA_INVALID naming the line that is not like the first, or a name that is there twice or empty.
 */
export function parseCsv(text: string, separator: string, place: string): NamedRows {
  const records: CsvRecord[] = []
  const reader = new CsvReader(separator, place, (record) => records.push(record))
  reader.push(text.startsWith('\ufeff') ? text.slice(1) : text)
  reader.end()
  const [first, ...body] = records
  const names = first?.cells.map((cell) => cell.trim()) ?? []
  const seen = new Set<string>()
  const repeated = names.find((name) => name === '' || seen.size === seen.add(name).size)
  if (repeated !== undefined) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected a name of its own for each column in the first line of ${place}, but ${repeated === '' ? 'one has none' : `there are two "${repeated}"`}.`,
    )
  }
  for (const { cells, line } of body) {
    if (cells.length === names.length) continue
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected ${names.length} cells, as the first line of ${place} has, but line ${line} has ${cells.length}.`,
    )
  }
  return { names, rows: body.map(({ cells }) => cells), lines: body.map(({ line }) => line) }
}
