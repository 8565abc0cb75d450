/** A way of other programs to keep a model, and what becomes of it here. Each is one file in this folder. */
import type * as z from 'zod'
import type { ImageShape } from '../../datasets/data-set.js'
import type { DiffusionOptions } from '../../diffusion/diffusion-options.js'
import { DpmError } from '../../errors.js'
import type { Precision } from '../../native/device.js'
import type { NetworkOptions } from '../../networks/list.js'
import type { Parameter } from '../../networks/network.js'
import type { samplingSchema } from '../../sampling/sampling-defaults.js'
import type { Weights } from '../archives/tensor-archive.js'
import type { JsonObject } from '../migrations.js'
import type { ImportSource } from './import-source.js'
import type { Piece } from './pieces.js'

/** A model as the source describes it, in our words. `--set` is laid over `network`, `diffusion` and the rest. */
export interface ImportedModel {
  readonly network: NetworkOptions
  readonly diffusion: DiffusionOptions
  /** What the network sees beside x; nothing when absent. */
  readonly condition?: JsonObject
  /** `float32` when absent. */
  readonly precision?: Precision
  /** How images are drawn where a call does not say. */
  readonly sampling?: z.input<typeof samplingSchema>
  readonly image: ImageShape
  /** Class names by index; none when absent. */
  readonly classes?: readonly string[]
  /** Updates that the weights have seen; 0 when absent. */
  readonly step?: number
  /** The weights as trained. Absent where the source has averaged ones only: the first of these then stand for them. */
  readonly trained?: Weights
  /** Averaged copies (EMA), the one to sample with first. */
  readonly averages?: readonly Weights[]
  /** How a parameter of the network is made of a copy's tensors. */
  piece(parameter: Parameter): Piece
  /** What is a little different here than in the program that the model is from, a sentence each. */
  readonly notes?: readonly string[]
  /** Whether a tensor may be left over: a buffer that follows from the settings. None may when absent. */
  readonly isUnused?: (name: string) => boolean
}

export interface ImportDefinition<Schema extends z.ZodType = z.ZodType> {
  readonly name: string
  readonly description: string
  /** What `--set` may name beside the model's own settings: choices that the source does not hold. */
  readonly schema: Schema
  /** Whether a source looks like one of these. It may open archives; it must not throw for a foreign file. */
  recognises(source: ImportSource): Promise<boolean>
  /** @throws DpmError DPM_INVALID_OPTION naming a choice that the source leaves open, DPM_FILE_INVALID */
  read(source: ImportSource, options: z.output<Schema>): Promise<ImportedModel>
}

export function defineImport<Schema extends z.ZodType>(definition: {
  readonly name: string
  readonly description: string
  readonly options: Schema
  readonly recognises: (source: ImportSource) => Promise<boolean>
  readonly read: (source: ImportSource, options: z.output<Schema>) => Promise<ImportedModel>
}): ImportDefinition<Schema> {
  const { options, ...rest } = definition
  return { ...rest, schema: options }
}

/** More than any data set has; a shape without elements could claim any number. */
const maximumClasses = 100_000

/** Names of the classes of a source that only numbers them. @throws DpmError DPM_FILE_INVALID */
export function classNames(count: number, path: string): string[] {
  if (count <= maximumClasses) return Array.from({ length: count }, (_, index) => String(index))
  throw new DpmError(
    'DPM_FILE_INVALID',
    `${JSON.stringify(path)} has ${count} classes, more than the ${maximumClasses} that can be.`,
    { details: { path } },
  )
}

/** A choice that a source leaves open: what was chosen, and what it is about. */
export interface Choice<Value = unknown> {
  readonly value: Value | undefined
  /** What it is, and what the usual values are. */
  readonly about: string
}

type Chosen<Choices> = {
  readonly [Name in keyof Choices]: Choices[Name] extends Choice<infer Value> ? Value : never
}

/**
 * Choices that the source leaves open, all of which must have been made.
 * @throws DpmError DPM_INVALID_OPTION naming every one that is missing, with the flag that makes it.
 */
export function asked<Choices extends Readonly<Record<string, Choice>>>(choices: Choices): Chosen<Choices> {
  const missing = Object.entries(choices).filter(([, { value }]) => value === undefined)
  if (missing.length === 0) {
    return Object.fromEntries(Object.entries(choices).map(([name, { value }]) => [name, value])) as Chosen<Choices>
  }
  const lines = missing.map(([name, { about }]) => `  --set ${name}=…: ${about}`)
  throw new DpmError('DPM_INVALID_OPTION', `The file does not hold what follows; say it:\n${lines.join('\n')}`, {
    details: { options: missing.map(([name]) => name) },
  })
}
