/** Examples made up from the counter, in the shape of a data set: what measuring speed needs of data. */
import type { DataSet } from '../datasets/data-set.js'
import { type DataSettings, openDataSet, publishedShape } from '../datasets/list.js'
import { exampleSize, MemoryDataSet } from '../datasets/memory-data-set.js'
import { uniforms } from '../random/uniforms.js'

/**
 * So many examples of the shape that the data set is published in; where only its files say, it is opened.
 * @throws DpmError DPM_DATA_MISSING, DPM_DATA_INVALID where it must be opened
 */
export async function madeUpData(settings: DataSettings, count: number, signal?: AbortSignal): Promise<DataSet> {
  const published = publishedShape(settings)
  if (!published) return openDataSet(settings, { signal })
  const { classes, ...shape } = published
  const values = uniforms(0, 'data', 0, 0, count * exampleSize(shape))
  return new MemoryDataSet({
    name: settings.kind,
    ...shape,
    images: Uint8Array.from(values, (value) => Math.floor(256 * value)),
    labels: classes > 0 ? Uint16Array.from({ length: count }, (_, i) => i % classes) : null,
    classes: Array.from({ length: classes }, (_, i) => String(i)),
  })
}
