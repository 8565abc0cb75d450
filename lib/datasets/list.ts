/** Every data set, by kind. A new one is a file beside this one and a line here. */
import * as z from 'zod'
import { schemasOf } from '../options/kind-schema.js'
import { parseOptions } from '../options/options.js'
import { cifar10 } from './cifar10.js'
import type { DataSet } from './data-set.js'
import type { DataSetDefinition, OpenContext, PublishedShape } from './define-data-set.js'
import { emoji } from './emoji.js'
import { idx } from './idx.js'
import { imageFolder } from './image-folder.js'
import { points } from './points.js'
import { sprites } from './sprites.js'
import { table } from './table.js'

export const datasets = { emoji, sprites, idx, cifar10, 'image-folder': imageFolder, points, table } as const

export const dataSchema = z.discriminatedUnion('kind', schemasOf(datasets))
export type DataOptions = z.input<typeof dataSchema>
export type DataSettings = z.output<typeof dataSchema>

/**
 * Opens a data set of the list; what its options leave out has the defaults that `dpm-torch list datasets` shows.
 * @throws DpmError DPM_INVALID_OPTION naming the option, DPM_DATA_MISSING when it is not there, DPM_DATA_INVALID naming the file that is not what it should be.
 */
export async function openDataSet(options: DataOptions, context: OpenContext = {}): Promise<DataSet> {
  const settings = parseOptions(dataSchema, options, 'data')
  const definition = datasets[settings.kind] as DataSetDefinition<DataSettings>
  return definition.open(settings, context)
}

/** The shape of the data as it is published; undefined where only the files say. */
export function publishedShape(settings: DataSettings): PublishedShape | undefined {
  const definition = datasets[settings.kind] as DataSetDefinition<DataSettings>
  return definition.published?.(settings)
}
