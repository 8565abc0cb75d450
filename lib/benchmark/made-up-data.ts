/** Examples made up from the counter, in the shape of a data set: what measuring speed needs of data. */
import type { DataSet, ExampleValues } from '../datasets/data-set.js'
import type { PublishedShape } from '../datasets/define-data-set.js'
import { type DataSettings, openDataSet, publishedShape } from '../datasets/list.js'
import { exampleSize, MemoryDataSet } from '../datasets/memory-data-set.js'
import { normals } from '../random/philox.js'
import { uniforms } from '../random/uniforms.js'

/**
 * So many examples of a shape: bytes, or normals where there are columns.
 * @param given the shape that the data set is published in when undefined; where only its files say, it is opened.
 * @throws DpmError DPM_DATA_MISSING, DPM_DATA_INVALID where it must be opened
 */
export async function madeUpData(
  settings: DataSettings,
  count: number,
  given?: PublishedShape,
  signal?: AbortSignal,
): Promise<DataSet> {
  const known = given ?? publishedShape(settings)
  if (!known) return openDataSet(settings, { signal })
  const { classes, ...shape } = known
  return new MemoryDataSet({
    name: settings.kind,
    ...shape,
    images: valuesOf(shape.columns !== undefined, count * exampleSize(shape)),
    labels: classes > 0 ? Uint16Array.from({ length: count }, (_, i) => i % classes) : null,
    classes: Array.from({ length: classes }, (_, i) => String(i)),
  })
}

function valuesOf(isVectors: boolean, count: number): ExampleValues {
  if (isVectors) return Float32Array.from(normals(0, 'data', 0, 0, count))
  return Uint8Array.from(uniforms(0, 'data', 0, 0, count), (value) => Math.floor(256 * value))
}
