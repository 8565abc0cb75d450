/** Pictures with black around them: put there as they are read, for padding may be a hundred times as large as what it surrounds. */
import type { CorruptExample, DataSet, ExampleValues, ImageShape } from './data-set.js'
import { checkRead, exampleSize, roomFor } from './memory-data-set.js'

export class PaddedDataSet implements DataSet {
  readonly name: string
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly length: number
  readonly classes: readonly string[]
  readonly corrupt: readonly CorruptExample[]
  readonly #inner: DataSet
  readonly #padding: number

  /** @param padding pixels on every side */
  constructor(inner: DataSet, padding: number) {
    this.name = inner.name
    this.channels = inner.channels
    this.height = inner.height + 2 * padding
    this.width = inner.width + 2 * padding
    this.length = inner.length
    this.classes = inner.classes
    this.corrupt = inner.corrupt
    this.#inner = inner
    this.#padding = padding
  }

  classOf(index: number): number {
    return this.#inner.classOf(index)
  }

  async read(indices: readonly number[], into: ExampleValues, signal?: AbortSignal): Promise<void> {
    checkRead(this, indices, into)
    const inside = roomFor(this.#inner, indices.length)
    await this.#inner.read(indices, inside, signal)
    into.fill(0)
    surround(inside, this.#inner, into, this, this.#padding)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}

/** Row by row of every plane. */
function surround(
  inside: ExampleValues,
  { height, width }: ImageShape,
  into: ExampleValues,
  outer: ImageShape,
  padding: number,
): void {
  const plane = exampleSize({ ...outer, channels: 1 })
  for (let row = 0; row * width < inside.length; row++) {
    const y = (row % height) + padding
    const at = Math.floor(row / height) * plane + y * outer.width + padding
    into.set(inside.subarray(row * width, (row + 1) * width), at)
  }
}
