/**
 * Vectors as data: every column is brought to mean 0 and deviation 1, which is what networks see, and its scale is kept
 * (`Columns`), so that what is drawn comes back in the column's own units.
 */
import { DpmError } from '../errors.js'
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
}

/** Examples of shape columns×1×1. */
export function vectorDataSet({ name, columns: names, rows, labels, classes }: VectorParts): MemoryDataSet {
  const columns = scaleOf(names, rows)
  const images = Float32Array.from(standardized(rows, columns))
  return new MemoryDataSet({ name, channels: names.length, height: 1, width: 1, columns, images, labels, classes })
}

/** Mean and deviation of each column; a column that is constant keeps its unit. */
function scaleOf(names: readonly string[], rows: Float64Array): Columns {
  const width = names.length
  const count = rows.length / width
  const means = names.map((_, column) => {
    let sum = 0
    for (let i = column; i < rows.length; i += width) sum += rows[i] ?? 0
    return sum / count
  })
  const deviations = means.map((mean, column) => {
    let squares = 0
    for (let i = column; i < rows.length; i += width) squares += ((rows[i] ?? 0) - mean) ** 2
    const deviation = Math.sqrt(squares / count)
    // Of a constant, rounding may leave a last digit.
    return deviation > 1e-12 * Math.abs(mean) ? deviation : 1
  })
  return { names, means, deviations }
}

/** Columns in their own units as networks see them. */
export function standardized(rows: ArrayLike<number>, { means, deviations }: Columns): Float64Array {
  const width = means.length
  return Float64Array.from(rows, (value, i) => (value - (means[i % width] ?? 0)) / (deviations[i % width] ?? 1))
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
    classOf: (index) => dataSet.classOf(index),
    close: () => dataSet.close(),
    async read(indices: readonly number[], into: ExampleValues, signal?: AbortSignal) {
      await dataSet.read(indices, into, signal)
      into.set(standardized(inUnits(into, own), columns))
    },
  }
}
