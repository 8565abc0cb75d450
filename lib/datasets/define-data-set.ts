/** What a data set's file gives to the catalog: its name, its options, and how it opens. */
import type * as z from 'zod'
import type { KindSchema } from '../options/kind-schema.js'
import { defineOptions, type OptionsDefinition } from '../options/options.js'
import type { DataSet, ImageShape, OpenProgress } from './data-set.js'

export interface OpenContext {
  readonly signal?: AbortSignal | undefined
  readonly progress?: OpenProgress | undefined
}

/** What a data set has in the form that it is published in. */
export interface PublishedShape extends ImageShape {
  readonly classes: number
}

export interface DataSetDefinition<Settings = unknown> {
  readonly name: string
  readonly options: OptionsDefinition<Settings>
  /**
   * Finds, checks and indexes the data; small sets are decoded into memory.
   * @throws DpmError DPM_DATA_MISSING when it is not there, DPM_DATA_INVALID naming the file that is not what it should be.
   */
  open(settings: Settings, context?: OpenContext): Promise<DataSet>
  /** For what needs the shape and not the data; absent where only the files say. */
  readonly published?: ((settings: Settings) => PublishedShape) | undefined
}

export interface DataSetDeclaration<Schema extends KindSchema> {
  readonly name: z.output<Schema>['kind']
  /** A strict object whose `kind` is the data set's name. */
  readonly options: Schema
  open(settings: z.output<Schema>, context: OpenContext): Promise<DataSet>
  published?(settings: z.output<Schema>): PublishedShape
}

/** The schema goes in bare and comes out with a definition, which parses and lists the options. */
export function defineDataSet<Schema extends KindSchema>(
  declaration: DataSetDeclaration<Schema>,
): DataSetDefinition<z.output<Schema>> & { readonly schema: Schema } {
  return {
    name: declaration.name,
    schema: declaration.options,
    options: defineOptions(declaration.name, declaration.options),
    open: (settings, context = {}) => declaration.open(settings, context),
    published: declaration.published,
  }
}
