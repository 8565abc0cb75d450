/** What is between the cells of a line: by name, and found in a file that does not say. */
import * as z from 'zod'
import { CsvReader, type CsvRecord } from './csv.js'
import { isNumber } from './number-text.js'

/** In the order in which they are preferred where two fit alike. */
export const separators = { comma: ',', tab: '\t', semicolon: ';', pipe: '|', space: ' ' } as const
export type SeparatorName = keyof typeof separators

const names = Object.keys(separators) as [SeparatorName, ...SeparatorName[]]

/** Other ways to write them: the characters themselves, and what a shell leaves of `\t`. */
const spellings: Readonly<Record<string, SeparatorName>> = {
  ...Object.fromEntries(names.map((name) => [separators[name], name])),
  '\\t': 'tab',
  '\\s+': 'space',
}

type Written = 'auto' | SeparatorName | (typeof separators)[SeparatorName] | '\\t' | '\\s+'

/** The characters themselves are taken too; settings have the name. */
export const separatorSchema: z.ZodType<'auto' | SeparatorName, Written> = z.preprocess(
  (value) => (typeof value === 'string' ? (spellings[value] ?? value) : value),
  z.enum(['auto', ...names]),
) as never

/** Of a file, this much is looked at. */
const sampledRecords = 200

/**
 * The separator by which every line of a text has the same number of cells, more than one, and the most of them are
 * numbers; a comma (a tab where the file's name says so) where none does.
 * @param sample beginning of a file
 * @param isWhole no line of it is cut off
 */
export function findSeparator(sample: string, isWhole: boolean, file: string): SeparatorName {
  const usual: SeparatorName = /\.(tsv|tab)$/i.test(file) ? 'tab' : 'comma'
  const ordered = [usual, ...names.filter((name) => name !== usual)]
  let best: { readonly name: SeparatorName; readonly share: number } = { name: usual, share: -1 }
  for (const name of ordered) {
    const share = shareOfNumbers(recordsOf(sample, isWhole, separators[name]), name)
    if (share > best.share) best = { name, share }
  }
  return best.name
}

function recordsOf(sample: string, isWhole: boolean, separator: string): readonly CsvRecord[] {
  const records: CsvRecord[] = []
  const reader = new CsvReader(separator, '', (record) => {
    if (records.length < sampledRecords) records.push(record)
  })
  try {
    reader.push(sample)
    if (isWhole) reader.end()
  } catch {
    // What is wrong with its quotes is told when the file is read.
  }
  const values = records.filter(({ cells }) => !cells[0]?.startsWith('#'))
  return values.length > 0 ? values : records
}

/** -1 where lines have other numbers of cells, or one. The first line may be names, and an empty cell at the end none. */
function shareOfNumbers(records: readonly CsvRecord[], name: SeparatorName): number {
  const body = records.length > 1 ? records.slice(1) : records
  const widths = new Set(records.map(({ cells }) => (cells.at(-1) === '' ? cells.length - 1 : cells.length)))
  const full = new Set(body.map(({ cells }) => cells.length))
  const [width = 0] = full
  if (width < 2 || (full.size > 1 && widths.size > 1)) return -1
  if (records[0] && Math.abs(records[0].cells.length - width) > 1) return -1
  let [numbers, cells] = [0, 0]
  for (const record of body) {
    for (const cell of record.cells) {
      cells++
      if (isNumber(cell, name !== 'comma')) numbers++
    }
  }
  return numbers / cells
}
