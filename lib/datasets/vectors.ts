/**
 * Vectors as data: every column is brought to mean 0 and deviation 1, which is what networks see, and its scale is kept
 * (`Columns`), so that what is drawn comes back in the column's own units.
 */
import { DpmError } from '../errors.js'
import { allocate } from './allocate.js'
import type { Columns, DataSet, ExampleValues } from './data-set.js'
import { MemoryDataSet } from './memory-data-set.js'

export interface VectorParts {
  readonly name: string
  readonly columns: readonly string[]
  /** N × columns, in their own units, all finite. */
  readonly rows: Float64Array
  /** N class indices; null when there are no classes. */
  readonly labels: ArrayLike<number> | null
  readonly classes: readonly string[]
  readonly reading?: readonly string[] | undefined
  readonly remarks?: readonly string[] | undefined
}

/** Examples of shape columns×1×1. */
export function vectorDataSet({ columns: names, rows, ...parts }: VectorParts): MemoryDataSet {
  const columns = scaleOf(names, rows)
  const images = allocate(Float32Array, rows.length, `the examples of ${parts.name}`)
  standardize(rows, columns, images)
  return new MemoryDataSet({ ...parts, channels: names.length, height: 1, width: 1, columns, images })
}

/** Mean and deviation of each column; a column that is constant keeps its unit. */
function scaleOf(names: readonly string[], rows: Float64Array): Columns {
  const scales = names.map((_, column) => {
    const plain = scaleOfColumn(rows, column, names.length, 1)
    if (isScale(plain)) return plain
    // The sums leave the range of 64 bits: they are made of numbers near 1, by a power of two that changes no digit.
    const largest = largestOf(rows, column, names.length)
    if (largest === 0) return plain
    const unit = 2 ** Math.max(-1022, Math.min(1023, Math.floor(Math.log2(largest))))
    const { mean, deviation } = scaleOfColumn(rows, column, names.length, unit)
    return { mean: mean * unit, deviation: deviation * unit }
  })
  return {
    names,
    means: scales.map(({ mean }) => mean),
    deviations: scales.map(({ mean, deviation }) =>
      // Of a constant, rounding may leave a last digit.
      deviation > 1e-12 * Math.abs(mean) ? deviation : 1,
    ),
  }
}

interface Scale {
  readonly mean: number
  readonly deviation: number
}

function scaleOfColumn(rows: Float64Array, column: number, width: number, unit: number): Scale {
  const count = rows.length / width
  let sum = 0
  for (let i = column; i < rows.length; i += width) sum += (rows[i] ?? 0) / unit
  const mean = sum / count
  let squares = 0
  for (let i = column; i < rows.length; i += width) squares += ((rows[i] ?? 0) / unit - mean) ** 2
  return { mean, deviation: Math.sqrt(squares / count) }
}

/** Whether no sum was too large, and no square so small that it was lost. */
function isScale({ mean, deviation }: Scale): boolean {
  return Number.isFinite(mean) && Number.isFinite(deviation) && deviation > 1e-140
}

function largestOf(rows: Float64Array, column: number, width: number): number {
  let largest = 0
  for (let i = column; i < rows.length; i += width) largest = Math.max(largest, Math.abs(rows[i] ?? 0))
  return largest
}

/** Columns in their own units as networks see them. */
export function standardized(rows: ArrayLike<number>, columns: Columns): Float64Array {
  const values = new Float64Array(rows.length)
  standardize(rows, columns, values)
  return values
}

function standardize(
  rows: ArrayLike<number>,
  { means, deviations }: Columns,
  into: ExampleValues | Float64Array,
): void {
  const width = means.length
  for (let column = 0; column < width; column++) {
    const [mean, deviation] = [means[column] ?? 0, deviations[column] ?? 1]
    for (let i = column; i < rows.length; i += width) {
      const value = rows[i] ?? 0
      const centered = value - mean
      // Two numbers of the largest may be further apart than 64 bits hold.
      into[i] = Number.isFinite(centered) ? centered / deviation : value / deviation - mean / deviation
    }
  }
}

/** What networks see in the columns' own units. */
export function inUnits(values: ArrayLike<number>, { means, deviations }: Columns): Float64Array {
  const width = means.length
  return Float64Array.from(values, (value, i) => (means[i % width] ?? 0) + (deviations[i % width] ?? 1) * value)
}

/**
 * The data as a model with other columns' scale sees it: another part of the data has other means.
 * @throws DpmError DPM_INVALID_OPTION when one of the two has pictures, or the columns have other names.
 */
export function scaledAs(dataSet: DataSet, columns: Columns | undefined): DataSet {
  const own = dataSet.columns
  const names = (of: Columns | undefined): string => (of ? `vectors of ${of.names.join(', ')}` : 'pictures')
  if (names(own) !== names(columns)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The model is of ${names(columns)}, but the data set ${dataSet.name} has ${names(own)}. Use the data that it was trained on.`,
    )
  }
  if (!own || !columns || JSON.stringify(own) === JSON.stringify(columns)) return dataSet
  return {
    name: dataSet.name,
    channels: dataSet.channels,
    height: dataSet.height,
    width: dataSet.width,
    columns,
    length: dataSet.length,
    classes: dataSet.classes,
    corrupt: dataSet.corrupt,
    remarks: dataSet.remarks,
    reading: dataSet.reading,
    classOf: (index) => dataSet.classOf(index),
    close: () => dataSet.close(),
    async read(indices: readonly number[], into: ExampleValues, signal?: AbortSignal) {
      await dataSet.read(indices, into, signal)
      into.set(standardized(inUnits(into, own), columns))
    },
  }
}
