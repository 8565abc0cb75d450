/** Comma-separated values (RFC 4180): a first line that is not all numbers has the names of the columns. */
import { DpmError } from '../errors.js'

export interface Csv {
  readonly names: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Line of each row in the file, from 1. */
  readonly lines: readonly number[]
}

/** @throws DpmError DPM_DATA_INVALID naming the line that is not like the others. */
export function parseCsv(text: string, separator: string, place: string): Csv {
  const records = recordsOf(text.startsWith('\ufeff') ? text.slice(1) : text, separator, place)
  const [first] = records
  const hasNames = first?.cells.some((cell) => cell.trim() === '' || Number.isNaN(Number(cell))) ?? false
  const width = first?.cells.length ?? 0
  const names = hasNames
    ? (first?.cells.map((cell) => cell.trim()) ?? [])
    : Array.from({ length: width }, (_, i) => String(i))
  const repeated = names.find((name, index) => name === '' || names.indexOf(name) !== index)
  if (repeated !== undefined) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected a name of its own for each column in the first line of ${place}, but ${repeated === '' ? 'one has none' : `there are two "${repeated}"`}.`,
    )
  }
  const body = hasNames ? records.slice(1) : records
  for (const { cells, line } of body) {
    if (cells.length === width) continue
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected ${width} cells, as the first line of ${place} has, but line ${line} has ${cells.length}. Is the \`separator\` another?`,
    )
  }
  return { names, rows: body.map(({ cells }) => cells), lines: body.map(({ line }) => line) }
}

interface CsvRecord {
  readonly cells: string[]
  readonly line: number
}

/** Empty lines are passed over. A cell in double quotes may hold separators, line breaks and, doubled, quotes. */
function recordsOf(text: string, separator: string, place: string): CsvRecord[] {
  const records: CsvRecord[] = []
  let cells: string[] = []
  let cell = ''
  let [line, begun] = [1, 1]
  let quoted = false
  const endRecord = (): void => {
    cells.push(cell)
    if (cells.length > 1 || cell.trim() !== '') records.push({ cells, line: begun })
    cells = []
    cell = ''
  }
  for (let i = 0; i < text.length; i++) {
    const character = text[i] ?? ''
    if (character === '\n') line += 1
    if (quoted) {
      if (character !== '"') cell += character
      else if (text[i + 1] === '"') cell += text[++i]
      else quoted = false
    } else if (character === '"' && cell.trim() === '') {
      cell = ''
      quoted = true
    } else if (character === separator) {
      cells.push(cell)
      cell = ''
    } else if (character === '\n') {
      endRecord()
      begun = line
    } else if (character !== '\r') cell += character
  }
  if (quoted) {
    throw new DpmError('DPM_DATA_INVALID', `The quote that begins in line ${begun} of ${place} has no end.`)
  }
  endRecord()
  return records
}
