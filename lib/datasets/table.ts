/** A table of numbers, from a text or `.npy` file: rows are examples, columns are brought to mean 0 and deviation 1. */
import { extname } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import * as z from 'zod'
import { DpmError, throwIfAborted } from '../errors.js'
import { nearest } from '../options/options.js'
import { pathOption } from '../options/path-option.js'
import { allocate } from './allocate.js'
import { mostCells } from './csv.js'
import { defineDataSet } from './define-data-set.js'
import { readDelimited } from './delimited.js'
import { NpyFile } from './npy.js'
import { whyNoNumber } from './number-text.js'
import { separatorSchema } from './separators.js'
import type { Cells } from './table-cells.js'
import { classesOf } from './table-classes.js'
import { vectorDataSet } from './vectors.js'

/** A column may be given by its number, as a number. */
const columnSchema: z.ZodType<string, string | number> = z.preprocess(
  (value) => (typeof value === 'number' ? String(value) : value),
  z.string().min(1),
) as never

/** One column needs no list. */
const columnsSchema: z.ZodType<readonly string[], string | number | readonly (string | number)[]> = z.preprocess(
  (value) => (typeof value === 'string' || typeof value === 'number' ? [value] : value),
  z.array(columnSchema).min(1),
) as never

const tableSchema = z.strictObject({
  kind: z.literal('table'),
  file: pathOption()
    .default('data/table.csv')
    .describe('.csv, .tsv or .txt with a line for each row, or .npy of N×columns numbers'),
  columns: columnsSchema
    .nullable()
    .default(null)
    .describe(
      'which, by name or number from 0; null: all but the class, and but one without a name that counts the rows',
    ),
  classColumn: columnSchema
    .nullable()
    .default(null)
    .describe('the column, by name or number from 0, whose values are classes; null: no classes'),
  header: z
    .enum(['auto', 'yes', 'no'])
    .default('auto')
    .describe(
      'whether the first line of a text file has the names of the columns; auto: where words stand above numbers, and a first line that may be either is refused',
    ),
  separator: separatorSchema
    .default('auto')
    .describe('what is between the cells of a text file, by name or as it is; auto: what splits every line alike'),
  decimal: z
    .enum(['auto', 'point', 'comma'])
    .default('auto')
    .describe('of the numbers in a text file; auto: a comma where no number has a point, and none can mean thousands'),
})

type TableSettings = z.output<typeof tableSchema>

/** Cells between two turns of the event loop. */
const cellsAtOnce = 1 << 20

export const table = defineDataSet({
  name: 'table',
  options: tableSchema,
  async open(settings, { signal, progress }) {
    const { file } = settings
    const cells = await readCells(settings, signal)
    const { names, length } = cells
    if (length === 0) throw new DpmError('DPM_DATA_INVALID', `${file} has no rows.`)
    const classColumn = settings.classColumn === null ? -1 : columnOf(settings.classColumn, names, file, 'classColumn')
    const chosen = chosenColumns(settings, cells, classColumn)
    const rows = allocate(Float64Array, length * chosen.length, `the rows of ${file}`)
    const rowsAtOnce = Math.max(1, Math.floor(cellsAtOnce / chosen.length))
    for (let row = 0; row < length; row++) {
      for (let i = 0; i < chosen.length; i++) {
        const value = cells.number(row, chosen[i] ?? 0)
        if (!Number.isFinite(value)) throw noNumber(cells, row, chosen[i] ?? 0, file)
        rows[row * chosen.length + i] = value
      }
      if ((row + 1) % rowsAtOnce !== 0) continue
      progress?.(row + 1, length)
      await turn()
      throwIfAborted(signal, 'Opening a table')
    }
    const { labels, classes } = await classesOf(cells, classColumn, file, signal)
    progress?.(length, length)
    const columns = chosen.map((column) => names[column] ?? '')
    const isLeftOut = cells.index !== undefined && ![...chosen, classColumn].includes(cells.index)
    return vectorDataSet({
      name: 'table',
      columns,
      rows,
      labels,
      classes,
      reading: cells.reading,
      remarks: [
        ...cells.remarks,
        ...(isLeftOut
          ? [
              `The first column of ${file}, which has no name and counts the rows, was left out; \`columns\` can name it.`,
            ]
          : []),
      ],
    })
  },
})

function chosenColumns(settings: TableSettings, cells: Cells, classColumn: number): readonly number[] {
  const { file } = settings
  const { names, index, unnamed } = cells
  if (settings.columns !== null) {
    const chosen = settings.columns.map((name) => columnOf(name, names, file, 'columns'))
    const twice = chosen.find((column, i) => chosen.indexOf(column) !== i)
    if (twice === undefined) return chosen
    throw new DpmError('DPM_INVALID_OPTION', `Expected each of \`columns\` once, but "${names[twice]}" is there twice.`)
  }
  const chosen = names.map((_, column) => column).filter((column) => column !== classColumn && column !== index)
  if (chosen.length === 0) {
    const none = names.length === 0 ? 'no columns' : 'no column but its classes'
    throw new DpmError('DPM_DATA_INVALID', `${file} has ${none}.`)
  }
  const without = unnamed.find((column) => column !== classColumn)
  if (without === undefined) return chosen
  throw new DpmError(
    'DPM_DATA_INVALID',
    `Column ${without} of ${file} has no name in the line of names. Name it there, or say which \`columns\` are meant.`,
    { details: { path: file, column: without } },
  )
}

const cure = 'Put it there, or name another `file` of the data set "table".'

type Read = (settings: TableSettings, signal: AbortSignal | undefined) => Promise<Cells>

const readText: Read = (settings, signal) => readDelimited(settings.file, settings, cure, signal)

const readNpy: Read = async ({ file }, signal) => {
  const array = await NpyFile.open(file, cure)
  try {
    const { shape } = array
    const [length = 0, width = 1] = shape
    if (shape.length < 1 || shape.length > 2) {
      throw new DpmError(
        'DPM_DATA_INVALID',
        `Expected numbers of shape N×columns in ${file} but it has ${shape.length === 0 ? 'a single number, without a shape' : `shape ${shape.join('×')}`}.`,
        { details: { path: file, shape } },
      )
    }
    // Nothing in the file says that a name for each of so many columns is meant.
    if (length * width === 0) {
      throw new DpmError('DPM_DATA_INVALID', `${file} has no ${length === 0 ? 'rows' : 'columns'}.`)
    }
    if (width > mostCells) {
      throw new DpmError('DPM_DATA_INVALID', `Expected at most ${mostCells} columns in ${file} but it has ${width}.`)
    }
    const values = await array.readNumbers(signal)
    return {
      names: Array.from({ length: width }, (_, column) => String(column)),
      length,
      number: (row, column) => values[row * width + column] ?? Number.NaN,
      text: (row, column) => String(values[row * width + column]),
      place: (row) => `row ${row}`,
      unnamed: [],
      index: undefined,
      reading: [`${array.type} of shape ${shape.join('×')}: the columns have numbers for names.`],
      remarks: [],
    }
  } finally {
    await array.close()
  }
}

const readers: Readonly<Record<string, Read>> = {
  '.csv': readText,
  '.npy': readNpy,
  '.tsv': readText,
  '.tab': readText,
  '.txt': readText,
  '.dat': readText,
  '.data': readText,
}

/** What endings that are often met stand for, and what to do. */
const otherEndings: Readonly<Record<string, string>> = {
  '.npz': 'An .npz holds several arrays: save one with `numpy.save`.',
  '.gz': 'Unpack it first, with gunzip.',
  '.zip': 'Unpack it first.',
  '.xlsx': 'Save the sheet as CSV.',
  '.xls': 'Save the sheet as CSV.',
  '.ods': 'Save the sheet as CSV.',
  '.parquet': 'Write it with `to_csv(index=False)`.',
  '.feather': 'Write it with `to_csv(index=False)`.',
  '.json': 'Write it as .csv: a line for each row.',
}

async function readCells(settings: TableSettings, signal: AbortSignal | undefined): Promise<Cells> {
  const { file } = settings
  const ending = extname(file).toLowerCase()
  const read = Object.hasOwn(readers, ending) ? readers[ending] : undefined
  if (read) return await read(settings, signal)
  const known = Object.keys(readers)
  const hint = Object.hasOwn(otherEndings, ending) ? ` ${otherEndings[ending]}` : ''
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Expected a name that ends in ${known.slice(0, 2).join(' or ')} (${known.slice(2).join(', ')} are read as .csv is) for \`file\` but received ${JSON.stringify(file)}.${hint}`,
  )
}

/** A name counts before a number. @throws DpmError DPM_INVALID_OPTION naming the columns there are. */
function columnOf(name: string, names: readonly string[], file: string, option: string): number {
  const found = names.indexOf(name)
  if (found >= 0) return found
  if (/^[0-9]{1,9}$/.test(name) && Number(name) < names.length) return Number(name)
  const near = nearest(name, names.slice(0, 1000))
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Expected a column of ${file} (${names.slice(0, 20).join(', ')}${names.length > 20 ? ' …' : ''}, or a number from 0 to ${names.length - 1}) for \`${option}\` but received ${JSON.stringify(name)}.${near ? ` Did you mean "${near}"?` : ''}`,
  )
}

function noNumber({ text, names, place }: Cells, row: number, column: number, file: string): DpmError {
  const written = text(row, column)
  const shown = written.length > 80 ? `${written.slice(0, 77)}...` : written
  const reason = whyNoNumber(written)
  return new DpmError(
    'DPM_DATA_INVALID',
    `Expected a finite number in column "${names[column]}", ${place(row)} of ${file}, but it is ${JSON.stringify(shown)}${reason ? ` (${reason})` : ''}. Mend it or leave the row out; words can be a \`classColumn\`.`,
    { details: { path: file, row, column: names[column] } },
  )
}
