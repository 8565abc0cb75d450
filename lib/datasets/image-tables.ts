/**
 * Tables beside pictures, as Hugging Face's `imagefolder` has them: `metadata.csv` or `metadata.jsonl`, in the folder or in
 * sub-folders, whose column `file_name` is a path from the table's own folder.
 */
import { readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import { DpmError } from '../errors.js'
import { readFailure } from '../files/file-failure.js'
import { parseJson } from '../files/parse-json.js'
import type { RawPath } from '../files/raw-path.js'
import { parseCsv } from './csv.js'
import { type FoundPictures, within } from './folder-walk.js'
import type { PictureClasses } from './image-classes.js'
import type { ImageFolderSettings } from './image-folder-options.js'

interface Row {
  /** Line in the file, from 1. */
  readonly line: number
  readonly cells: ReadonlyMap<string, string>
}

/** @throws DpmError DPM_DATA_MISSING without a table, DPM_DATA_INVALID naming the line or the picture that does not fit. */
export async function readTables(settings: ImageFolderSettings, found: FoundPictures): Promise<PictureClasses> {
  const { folder: root, labelColumn } = settings
  const tables = found.tables.filter(({ text }) => !text.endsWith('.parquet'))
  if (tables.length === 0) {
    const [parquet] = found.tables
    throw new DpmError(
      'DPM_DATA_MISSING',
      `There is no metadata.csv or metadata.jsonl in ${root}${parquet ? `, only ${parquet.text}, which is not read` : ''}. Put it beside the pictures, with the columns file_name and ${labelColumn}.`,
    )
  }
  const labelOf = new Map<string, string>()
  for (const table of tables) {
    const place = within(root, table).text
    for (const { line, cells } of await readRows(root, table)) {
      const name = cells.get('file_name')
      const label = cells.get(labelColumn)
      const wanted = name === undefined || name === '' ? 'file_name' : labelColumn
      if (name === undefined || name === '' || label === undefined || label.trim() === '') {
        throw new DpmError(
          'DPM_DATA_INVALID',
          `Expected a value for ${wanted} in line ${line} of ${place}, which has ${[...cells.keys()].join(', ')}. Add it, or name another column with \`labelColumn\`.`,
        )
      }
      const path = posix.normalize(posix.join(posix.dirname(table.text), name.replaceAll('\\', '/')))
      const before = labelOf.get(path)
      if (before !== undefined && before !== label) {
        throw new DpmError(
          'DPM_DATA_INVALID',
          `Line ${line} of ${place} calls ${path} "${label}", another line "${before}". Each picture has one class.`,
        )
      }
      labelOf.set(path, label)
    }
  }
  const unnamed = found.pictures.filter(({ text }) => !labelOf.has(text))
  if (unnamed.length > 0) {
    throw new DpmError(
      'DPM_DATA_INVALID',
      `Expected a line for each picture in ${tables.map((table) => within(root, table).text).join(', ')}, but ${unnamed.length} of ${found.pictures.length} have none, the first of them ${unnamed[0]?.text}. Add it, or set \`classes\` to "folders" or "none".`,
    )
  }
  const classes = [...new Set(found.pictures.map(({ text }) => labelOf.get(text) ?? ''))].sort(byLabel)
  const indices = new Map(classes.map((name, index) => [name, index]))
  const labels = Int32Array.from(found.pictures, ({ text }) => indices.get(labelOf.get(text) ?? '') ?? -1)
  const known = new Set(found.pictures.map(({ text }) => text))
  const absent = [...labelOf.keys()].filter((path) => !known.has(path))
  const remarks =
    absent.length === 0
      ? []
      : [`${absent.length} lines of the table name no picture that is read, the first of them ${absent[0]}.`]
  return { classes, labels, remarks }
}

/** Whole numbers by their size, names by UTF-16 code units. */
function byLabel(a: string, b: string): number {
  const isNumber = /^\d+$/
  if (isNumber.test(a) && isNumber.test(b) && Number(a) !== Number(b)) return Number(a) - Number(b)
  return a < b ? -1 : a > b ? 1 : 0
}

async function readRows(root: string, table: RawPath): Promise<readonly Row[]> {
  const { text: place, bytes } = within(root, table)
  const text = await readFile(bytes, 'utf8').catch((error: unknown) => {
    throw readFailure(place, error)
  })
  return place.endsWith('.csv') ? csvRows(text, place) : jsonRows(text, place)
}

function csvRows(text: string, place: string): readonly Row[] {
  const { names, rows, lines } = parseCsv(text, ',', place)
  return rows.map((cells, row) => ({
    line: lines[row] ?? 0,
    cells: new Map(names.map((name, column) => [name, cells[column] ?? ''])),
  }))
}

function jsonRows(text: string, place: string): readonly Row[] {
  const rows: Row[] = []
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    if (line.trim() === '') continue
    const value = parseJson(line, {
      name: `Line ${index + 1} of ${place}`,
      code: 'DPM_DATA_INVALID',
      cure: 'Mend the line.',
    })
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new DpmError('DPM_DATA_INVALID', `Expected a JSON object in line ${index + 1} of ${place}. Mend the line.`)
    }
    const cells = Object.entries(value).filter(
      ([, cell]) => typeof cell === 'string' || typeof cell === 'number' || typeof cell === 'boolean',
    )
    rows.push({ line: index + 1, cells: new Map(cells.map(([name, cell]) => [name, String(cell)])) })
  }
  return rows
}
