/** A data set whose decoded examples are all held in memory; and the checks that every data set makes. */
import { DpmError, expected, throwIfAborted } from '../errors.js'
import { allocate } from './allocate.js'
import type { Columns, DataSet, ExampleValues, ImageShape } from './data-set.js'

export interface MemoryDataSetParts extends ImageShape {
  readonly name: string
  /** N×C×H×W, examples one after the other: uint8, or float32 where there are columns. */
  readonly images: ExampleValues
  /** N class indices; null when the data has no classes. */
  readonly labels: ArrayLike<number> | null
  readonly classes: readonly string[]
  readonly reading?: readonly string[] | undefined
  readonly remarks?: readonly string[] | undefined
}

export class MemoryDataSet implements DataSet {
  readonly name: string
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly columns: Columns | undefined
  readonly length: number
  readonly classes: readonly string[]
  readonly corrupt = []
  readonly reading: readonly string[] | undefined
  readonly remarks: readonly string[] | undefined
  readonly #labels: ArrayLike<number> | null
  #images: ExampleValues | null

  constructor(parts: MemoryDataSetParts) {
    this.name = parts.name
    this.channels = parts.channels
    this.height = parts.height
    this.width = parts.width
    this.columns = parts.columns
    this.length = parts.images.length / exampleSize(parts)
    this.classes = parts.labels ? parts.classes : []
    this.reading = parts.reading
    this.remarks = parts.remarks
    this.#labels = parts.labels
    this.#images = parts.images
  }

  classOf(index: number): number {
    checkIndex(this, index)
    return this.#labels?.[index] ?? -1
  }

  async read(indices: readonly number[], into: ExampleValues, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal, 'Reading the data')
    checkRead(this, indices, into)
    if (!this.#images) throw closed(this.name)
    const size = exampleSize(this)
    for (const [slot, index] of indices.entries()) {
      into.set(this.#images.subarray(index * size, (index + 1) * size), slot * size)
    }
  }

  async close(): Promise<void> {
    this.#images = null
  }
}

/** Values of one decoded example. */
export function exampleSize({ channels, height, width }: ImageShape): number {
  return channels * height * width
}

/** Room for so many examples. @throws DpmError DPM_OUT_OF_MEMORY */
export function roomFor(shape: ImageShape, count: number): ExampleValues {
  return allocate<Uint8Array | Float32Array>(arrayOf(shape), count * exampleSize(shape), `${count} examples`)
}

function arrayOf({ columns }: ImageShape): typeof Uint8Array | typeof Float32Array {
  return columns ? Float32Array : Uint8Array
}

/** @throws DpmError DPM_INVALID_ARGUMENT when indices or buffer do not fit the data. */
export function checkRead(dataSet: DataSet, indices: readonly number[], into: ExampleValues): void {
  for (const index of indices) checkIndex(dataSet, index)
  const length = indices.length * exampleSize(dataSet)
  const array = arrayOf(dataSet)
  if (!(into instanceof array) || into.length !== length) {
    throw expected(`a ${array.name} of ${length} elements`, 'into', into)
  }
}

export function checkIndex(dataSet: DataSet, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= dataSet.length) {
    throw expected(`a whole number from 0 to ${dataSet.length - 1}`, 'index', index)
  }
}

export function closed(name: string): DpmError {
  return new DpmError('DPM_DISPOSED', `The data set ${name} was read after close().`)
}

/** @throws DpmError DPM_DATA_INVALID when a label is not one of the classes. */
export function checkLabels(labels: ArrayLike<number>, classes: readonly string[], place: string): void {
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] ?? -1
    if (label < 0 || label >= classes.length) {
      throw new DpmError(
        'DPM_DATA_INVALID',
        `Expected labels from 0 to ${classes.length - 1} (${classes.join(', ')}) in ${place} but label ${i} is ${label}. Name as many classes as the data has.`,
      )
    }
  }
}
