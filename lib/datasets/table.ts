/** A table of numbers, from a `.csv` or `.npy` file: rows are examples, columns are brought to mean 0 and deviation 1. */
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import * as z from 'zod'
import { DpmError } from '../errors.js'
import { nearest } from '../options/options.js'
import { pathOption } from '../options/path-option.js'
import { parseCsv } from './csv.js'
import { defineDataSet } from './define-data-set.js'
import { missingOr } from './missing.js'
import { NpyFile } from './npy.js'
import { vectorDataSet } from './vectors.js'

const tableSchema = z.strictObject({
  kind: z.literal('table'),
  file: pathOption().default('data/table.csv').describe('.csv, or .npy of N×columns numbers'),
  columns: z
    .array(z.string().min(1))
    .min(1)
    .nullable()
    .default(null)
    .describe('which, by name or number from 0; null: all but the class'),
  classColumn: z
    .string()
    .nullable()
    .default(null)
    .describe('the column, by name or number from 0, whose values are classes; null: no classes'),
  separator: z.enum([',', ';', '\t', ' ']).default(',').describe('what is between the cells of a .csv file'),
})

type TableSettings = z.output<typeof tableSchema>

/** A class for each value: more are a measurement, not a class. */
const mostClasses = 1000

/** A file as cells. */
interface Cells {
  readonly names: readonly string[]
  readonly length: number
  readonly cell: (row: number, column: number) => string | number
  /** Where a row is, for messages. */
  readonly place: (row: number) => string
}

export const table = defineDataSet({
  name: 'table',
  options: tableSchema,
  async open(settings) {
    const { file } = settings
    const cells = await readCells(settings)
    const { names, length } = cells
    if (length === 0) throw new DpmError('DPM_DATA_INVALID', `${file} has no rows.`)
    const classColumn = settings.classColumn === null ? -1 : columnOf(settings.classColumn, names, file, 'classColumn')
    const chosen =
      settings.columns?.map((name) => columnOf(name, names, file, 'columns')) ??
      names.map((_, column) => column).filter((column) => column !== classColumn)
    if (chosen.length === 0) throw new DpmError('DPM_DATA_INVALID', `${file} has no column but its classes.`)
    const rows = new Float64Array(length * chosen.length)
    for (let row = 0; row < length; row++) {
      for (const [i, column] of chosen.entries()) {
        rows[row * chosen.length + i] = numberAt(cells, row, column, file)
      }
    }
    const { labels, classes } = classesOf(cells, classColumn, file)
    return vectorDataSet({ name: 'table', columns: chosen.map((column) => names[column] ?? ''), rows, labels, classes })
  },
})

async function readCells({ file, separator }: TableSettings): Promise<Cells> {
  const read = readers[extname(file).toLowerCase()]
  if (read) return read(file, separator)
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Expected a name that ends in ${Object.keys(readers).join(' or ')} for \`file\` but received ${JSON.stringify(file)}.`,
  )
}

const cure = 'Put it there, or name another `file` of the data set "table".'

const readers: Readonly<Record<string, (file: string, separator: string) => Promise<Cells>>> = {
  '.csv': async (file, separator) => {
    const { names, rows, lines } = parseCsv(await readFile(file, 'utf8').catch(missingOr(file, cure)), separator, file)
    return {
      names,
      length: rows.length,
      cell: (row, column) => rows[row]?.[column] ?? '',
      place: (row) => `line ${lines[row]}`,
    }
  },
  '.npy': async (file) => {
    const array = await NpyFile.open(file)
    try {
      const [length = 0, width = 1] = array.shape
      if (array.shape.length < 1 || array.shape.length > 2) {
        throw new DpmError(
          'DPM_DATA_INVALID',
          `Expected numbers of shape N×columns in ${file} but it has shape ${array.shape.join('×')}.`,
        )
      }
      const values = await array.readNumbers()
      return {
        names: Array.from({ length: width }, (_, column) => String(column)),
        length,
        cell: (row, column) => values[row * width + column] ?? Number.NaN,
        place: (row) => `row ${row}`,
      }
    } finally {
      await array.close()
    }
  },
}

/** A name counts before a number. @throws DpmError DPM_INVALID_OPTION naming the columns there are. */
function columnOf(name: string, names: readonly string[], file: string, option: string): number {
  const found = names.indexOf(name)
  if (found >= 0) return found
  if (/^[0-9]{1,6}$/.test(name) && Number(name) < names.length) return Number(name)
  const near = nearest(name, names)
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Expected a column of ${file} (${names.slice(0, 20).join(', ')}${names.length > 20 ? ' …' : ''}) for \`${option}\` but received ${JSON.stringify(name)}.${near ? ` Did you mean "${near}"?` : ''}`,
  )
}

function numberAt({ cell, names, place }: Cells, row: number, column: number, file: string): number {
  const given = cell(row, column)
  const value = typeof given === 'number' ? given : given.trim() === '' ? Number.NaN : Number(given)
  if (Number.isFinite(value)) return value
  throw new DpmError(
    'DPM_DATA_INVALID',
    `Expected a finite number in column "${names[column]}", ${place(row)} of ${file}, but it is ${JSON.stringify(String(given))}. Mend it or leave the row out; words can be a \`classColumn\`.`,
    { details: { path: file, row, column: names[column] } },
  )
}

function classesOf(
  { cell, length, names }: Cells,
  column: number,
  file: string,
): { readonly labels: Uint16Array | null; readonly classes: readonly string[] } {
  if (column < 0) return { labels: null, classes: [] }
  const values = Array.from({ length }, (_, row) => String(cell(row, column)).trim())
  const byNumber = values.every((value) => value !== '' && Number.isFinite(Number(value)))
  const classes = [...new Set(values)].sort((a, b) => (byNumber ? Number(a) - Number(b) : a < b ? -1 : 1))
  if (classes.length > mostClasses) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Column "${names[column]}" of ${file} has ${classes.length} values, and ${mostClasses} classes are the most. Choose another \`classColumn\`.`,
    )
  }
  const indices = new Map(classes.map((name, index) => [name, index]))
  return { labels: Uint16Array.from(values, (value) => indices.get(value) ?? 0), classes }
}
