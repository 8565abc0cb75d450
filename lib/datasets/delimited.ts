/** A text file of separated cells as columns: which line has the names, what separates, which decimals. */
import { DpmError } from '../errors.js'
import { CellStore, type Decimal } from './cell-store.js'
import { CsvReader, type CsvRecord } from './csv.js'
import { type FirstLine, judgeFirstLine } from './header.js'
import { isMissing, numberOf, numberWithComma } from './number-text.js'
import { findSeparator, type SeparatorName, separators } from './separators.js'
import type { Cells } from './table-cells.js'
import { readText } from './text-file.js'

export interface DelimitedOptions {
  readonly header: 'auto' | 'yes' | 'no'
  readonly separator: 'auto' | SeparatorName
  readonly decimal: Decimal
  /** By name or number: its cells stay as they are written. */
  readonly classColumn: string | null
}

/** Enough to find the separator by. */
const sampleCharacters = 1 << 16
/** More lines that begin with # are no comment on top of a table. */
const mostComments = 1000

/** @throws DpmError DPM_DATA_INVALID naming the line that is not like the others, or that could be names and numbers. */
export async function readDelimited(
  file: string,
  options: DelimitedOptions,
  cure: string,
  signal?: AbortSignal,
): Promise<Cells> {
  const records = new Records(file, options)
  let sample = ''
  let found: { readonly name: SeparatorName; readonly reader: CsvReader } | undefined
  const begin = (isWhole: boolean): { readonly name: SeparatorName; readonly reader: CsvReader } => {
    const name = options.separator === 'auto' ? findSeparator(sample, isWhole, file) : options.separator
    const reader = new CsvReader(separators[name], file, (record) => records.add(record))
    reader.push(sample)
    return { name, reader }
  }
  for await (const text of readText(file, cure, signal)) {
    if (found) found.reader.push(text)
    else {
      sample += text
      if (sample.length >= sampleCharacters) found = begin(false)
    }
  }
  found ??= begin(true)
  found.reader.end()
  return await records.finish(found.name, signal)
}

class Records {
  readonly #file: string
  readonly #options: DelimitedOptions
  /** Lines on top that begin with #, until it is known what they are. */
  #comments: CsvRecord[] | undefined = []
  /** Names that such a line has. */
  #commentNames: { readonly names: readonly string[]; readonly line: number } | undefined
  #passedOver = 0
  #first: CsvRecord | undefined
  #store: CellStore | undefined

  constructor(file: string, options: DelimitedOptions) {
    this.#file = file
    this.#options = options
  }

  add(record: CsvRecord): void {
    if (this.#comments) {
      if (record.cells[0]?.trimStart().startsWith('#') && this.#comments.length < mostComments) {
        this.#comments.push(record)
        return
      }
      this.#settleComments(record)
    }
    this.#put(record)
  }

  async finish(separator: SeparatorName, signal?: AbortSignal): Promise<Cells> {
    const file = this.#file
    if (this.#comments) this.#settleComments(undefined)
    const store = this.#store
    const first = this.#first
    if (!store || !first) throw new DpmError('DPM_DATA_INVALID', `${file} has no rows.`, { details: { path: file } })
    const hasCommas = await store.readDecimalCommas(signal)
    const named = this.#commentNames !== undefined
    const isNames = !named && (await this.#firstLineIs(store, first, signal)) === 'names'
    const begin = isNames ? 1 : 0
    const width = this.#widthOf(store)
    const written = (this.#commentNames?.names ?? first.cells).slice(0, width).map((name) => name.trim())
    const isNamed = named || isNames
    const names = isNamed
      ? written.map((name, i) => name || `Unnamed: ${i}`)
      : Array.from({ length: width }, (_, i) => String(i))
    this.#requireNames(names, this.#commentNames?.line ?? first.line)
    const index =
      isNamed && /^(Unnamed: 0)?$/.test(written[0] ?? '') && width > 1 && store.countsRows(0, begin) ? 0 : undefined
    const line = this.#commentNames?.line ?? first.line
    return {
      names,
      length: store.length - begin,
      number: (row, column) => store.number(row + begin, column),
      text: (row, column) => store.text(row + begin, column),
      place: (row) => `line ${store.line(row + begin)}`,
      unnamed: isNamed ? written.flatMap((name, i) => (name === '' && i !== index ? [i] : [])) : [],
      index,
      reading: [
        isNamed
          ? `Line ${line} was taken as the names of the columns.`
          : `Line ${line} was taken as data: the columns have numbers for names.`,
        `Cells are separated by ${separator}${hasCommas || this.#options.decimal === 'comma' ? ', and numbers have a decimal comma' : ''}.`,
      ],
      remarks: [
        ...(this.#passedOver > 0
          ? [`${this.#passedOver} lines on top of ${file} that begin with # were passed over.`]
          : []),
        ...(width < store.width ? [`The last column of ${file}, which is empty, was left out.`] : []),
      ],
    }
  }

  async #firstLineIs(store: CellStore, first: CsvRecord, signal?: AbortSignal): Promise<FirstLine> {
    const { header } = this.#options
    if (header !== 'auto') return header === 'yes' ? 'names' : 'numbers'
    const below = await store.below(isMissing, signal)
    const width = this.#widthOf(store)
    const values = first.cells.slice(0, width).map((_, column) => store.number(0, column))
    const verdict = judgeFirstLine(
      first.cells.slice(0, width),
      values,
      below.slice(0, width),
      store.length - 1,
      (column) => store.recurs(column),
      (column) => store.countsRows(column, 1),
    )
    if (verdict !== 'unclear') return verdict
    const shown = first.cells.slice(0, 6).map((cell) => cell.trim())
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Line ${first.line} of ${this.#file} (${shown.join(', ')}${first.cells.length > 6 ? ' …' : ''}) may be the names of the columns, or a row of numbers. Say which: \`data.header\` yes or no.`,
      { details: { path: this.#file, line: first.line } },
    )
  }

  /** Of a separator that ends every line, the column after it has nothing. */
  #widthOf(store: CellStore): number {
    const last = store.width - 1
    if (last < 1) return store.width
    for (let row = 0; row < store.length; row++) {
      if (!Number.isNaN(store.number(row, last)) || store.text(row, last).trim() !== '') return store.width
    }
    return last
  }

  /**
   * numpy.savetxt writes names behind a #. Above rows that begin with a number such lines are no rows: the last of them has
   * the names where there are as many, and words.
   */
  #settleComments(next: CsvRecord | undefined): void {
    const comments = this.#comments ?? []
    this.#comments = undefined
    const [cell = ''] = next?.cells ?? []
    if (!next || Number.isNaN(this.#numberOf(cell))) {
      for (const record of comments) this.#put(record)
      return
    }
    const last = comments.at(-1)
    const names = last?.cells.map((name, i) => (i === 0 ? name.trimStart().replace(/^#+/, '') : name).trim())
    // A separator of spaces leaves the # in a cell of its own.
    if (names?.[0] === '' && names.length === next.cells.length + 1) names.shift()
    const areNames =
      names?.length === next.cells.length && names.every((name) => name !== '' && Number.isNaN(this.#numberOf(name)))
    if (last && names && areNames && this.#options.header !== 'no') this.#commentNames = { names, line: last.line }
    this.#passedOver = comments.length - (this.#commentNames ? 1 : 0)
  }

  #numberOf(cell: string): number {
    const value = this.#options.decimal === 'comma' ? Number.NaN : numberOf(cell)
    return Number.isNaN(value) && this.#options.decimal !== 'point' ? numberWithComma(cell) : value
  }

  #put(record: CsvRecord): void {
    const { cells, line } = record
    this.#first ??= record
    const width = this.#first.cells.length
    this.#store ??= new CellStore(width, this.#keptOf(this.#first), this.#options.decimal, this.#file)
    const ends = cells.length === width + 1 && cells.at(-1)?.trim() === ''
    const lacksEnd = cells.length === width - 1 && this.#first.cells.at(-1)?.trim() === ''
    if (cells.length === width || ends || lacksEnd) {
      this.#store.add(cells, line)
      return
    }
    const separated = `as line ${this.#first.line} of ${this.#file} has, but line ${line} has ${cells.length}`
    const cure =
      width === cells.length - 1 && this.#store.length === 1
        ? 'Has the first column no name? Or is the `data.separator` another?'
        : 'Is the `data.separator` another?'
    throw new DpmError('DPM_DATA_INVALID', `Expected ${width} cells, ${separated}. ${cure}`, {
      details: { path: this.#file, line },
    })
  }

  /** Columns that `classColumn` may mean. */
  #keptOf(first: CsvRecord): ReadonlySet<number> {
    const { classColumn } = this.#options
    if (classColumn === null) return new Set()
    const names = this.#commentNames?.names ?? first.cells.map((cell) => cell.trim())
    const named = names.flatMap((name, i) => ((name || `Unnamed: ${i}`) === classColumn ? [i] : []))
    return new Set(/^\d{1,9}$/.test(classColumn) ? [...named, Number(classColumn)] : named)
  }

  #requireNames(names: readonly string[], line: number): void {
    const seen = new Set<string>()
    for (const name of names) {
      if (seen.has(name)) {
        throw new DpmError(
          'DPM_DATA_INVALID',
          `Expected a name of its own for each column in line ${line} of ${this.#file}, but there are two "${name}". Rename one.`,
          { details: { path: this.#file, line } },
        )
      }
      seen.add(name)
    }
  }
}
