/** What sampling gives of a model of vectors: rows in their columns' own units, and the ways out of them. */
import { extname } from 'node:path'
import type { Columns, DataSet } from '../datasets/data-set.js'
import { roomFor } from '../datasets/memory-data-set.js'
import { encodeNpy } from '../datasets/npy-write.js'
import { inUnits } from '../datasets/vectors.js'
import { expected } from '../errors.js'
import { type Bytes, writeAtomically } from '../files/atomic-write.js'
import type { ImageGrid } from '../images/grid.js'
import { ScatterPlot } from '../images/scatter.js'

export class Vectors {
  /** Names of the columns. */
  readonly columns: readonly string[]
  /** N × columns, row after row. */
  readonly data: Float64Array
  /** Class of each row; null without classes. */
  readonly labels: Int32Array | null

  constructor(columns: readonly string[], data: Float64Array, labels: Int32Array | null = null) {
    if (!Array.isArray(columns) || columns.length === 0) throw expected('a list of names', 'columns', columns)
    if (!(data instanceof Float64Array)) throw expected('a Float64Array', 'data', data)
    if (data.length === 0 || data.length % columns.length !== 0) {
      throw expected(`rows of ${columns.length} numbers`, 'data', data.length)
    }
    this.columns = columns
    this.data = data
    this.labels = labels
  }

  /** From what networks see. */
  static fromFloats(values: ArrayLike<number>, columns: Columns, labels: Int32Array | null = null): Vectors {
    return new Vectors(columns.names, inUnits(values, columns), labels)
  }

  /** The first rows of a data set of vectors. */
  static async first(dataSet: DataSet, count: number, signal?: AbortSignal): Promise<Vectors> {
    const { columns } = dataSet
    if (!columns) throw expected('a data set of vectors', 'dataSet', dataSet.name)
    const indices = Array.from({ length: Math.min(count, dataSet.length) }, (_, index) => index)
    const values = roomFor(dataSet, indices.length)
    await dataSet.read(indices, values, signal)
    const labels = dataSet.classes.length > 0 ? Int32Array.from(indices, (index) => dataSet.classOf(index)) : null
    return Vectors.fromFloats(values, columns, labels)
  }

  get length(): number {
    return this.data.length / this.columns.length
  }

  /**
   * A picture of the points, beside those of the data where they are given: a histogram of one column, the first two of more.
   * Colours are classes.
   * @param title of the own panel; `samples` when absent
   */
  async plot(data?: Vectors, title = 'samples'): Promise<ImageGrid> {
    const panels = data ? [this.labels ? data : { data: data.data }, this] : [this]
    const titles = data ? ['data', title] : [title]
    const plot = await ScatterPlot.create({ columns: this.columns, titles, reach: data ?? this })
    return plot.draw(panels)
  }

  /**
   * Writes a table: `.csv` with the columns' names, unless they are all numbers, in the first line, or `.npy` of N×columns float64.
   * @throws DpmError DPM_INVALID_ARGUMENT for another ending, DPM_WRITE_FAILED naming the file and the reason.
   */
  async toFile(path: string): Promise<void> {
    if (typeof path !== 'string') throw expected(`a name that ends in ${tableEndings.join(' or ')}`, 'path', path)
    const format = tableFormats[extname(path).toLowerCase()]
    if (!format) throw expected(`a name that ends in ${tableEndings.join(' or ')}`, 'path', path)
    await writeAtomically(path, format(this))
  }
}

/** Lines that are made to bytes at once: a string of all of them could be longer than strings may be. */
const linesAtOnce = 10_000

function* csvLines({ columns, data }: Vectors): Generator<Uint8Array> {
  const encoder = new TextEncoder()
  // Names that are all numbers would be read again as a row.
  if (columns.some((name) => Number.isNaN(Number(name)))) yield encoder.encode(`${columns.map(cellOf).join(',')}\n`)
  const step = linesAtOnce * columns.length
  for (let begin = 0; begin < data.length; begin += step) {
    const lines: string[] = []
    const end = Math.min(data.length, begin + step)
    for (let at = begin; at < end; at += columns.length) lines.push(data.subarray(at, at + columns.length).join(','))
    yield encoder.encode(`${lines.join('\n')}\n`)
  }
}

const tableFormats: Readonly<Record<string, (vectors: Vectors) => Bytes>> = {
  '.csv': csvLines,
  '.npy': ({ columns, data }) => encodeNpy(data, [data.length / columns.length, columns.length]),
}
export const tableEndings = Object.keys(tableFormats)

/** In quotes where it must be. */
function cellOf(name: string): string {
  return /[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name
}
