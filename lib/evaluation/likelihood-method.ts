/** What a way of computing a likelihood is given, and what it gives back. Each is one file, and a line in `likelihood.ts`. */

import type * as z from 'zod'
import type { Columns, ExampleValues } from '../datasets/data-set.js'
import type { LikelihoodDenoiser } from '../diffusion/likelihood/likelihood-denoiser.js'
import type { VarianceKind } from '../diffusion/posterior.js'
import type { KindSchema } from '../options/kind-schema.js'

/** A model whose likelihood is computed: native, or written in JavaScript. */
export interface LikelihoodModel {
  readonly denoiser: LikelihoodDenoiser
  /** Variance of its ancestral steps; what a learned one says comes with the denoiser's answers. */
  readonly variance: VarianceKind
  /** What else a number depends on (weights, precision, condition …), for the protocol. */
  readonly description?: Readonly<Record<string, string | number | boolean>> | undefined
  /** Columns of the vectors that it is of, whose scale the data is brought to; that of the data where absent. */
  readonly columns?: Columns | undefined
}

/** Some images of the data. */
export interface LikelihoodBatch {
  /** N × elements: 0 … 255 of pictures, what networks see of vectors. */
  readonly values: ExampleValues
  /** Of vectors: densities are those of the columns in their own units. */
  readonly columns?: Columns | undefined
  /** N, their indices in the data. */
  readonly examples: readonly number[]
  readonly elements: number
}

export interface MethodContext {
  readonly seed: number
  readonly signal: AbortSignal | undefined
  /** Told the share of the batch that is done. */
  readonly onProgress: (fraction: number) => void
}

/** Collects what batches give. */
export interface LikelihoodRun<Details> {
  /** @returns bits per dimension of each image. */
  add(batch: LikelihoodBatch, context: MethodContext): Promise<number[]>
  /** What there is to say beside the bits per dimension, over all batches. */
  details(): Details
}

export interface LikelihoodMethod<Schema extends KindSchema = KindSchema, Details = unknown> {
  readonly name: string
  readonly schema: Schema
  /** Whether it gives the density of vectors, or is of 8-bit values alone. */
  readonly takesVectors: boolean
  /** @throws DpmError DPM_INVALID_OPTION when the model and the settings do not fit together. */
  start(model: LikelihoodModel, settings: z.output<Schema>): LikelihoodRun<Details>
}

export function defineLikelihoodMethod<Schema extends KindSchema, Details>(definition: {
  readonly name: string
  readonly options: Schema
  readonly takesVectors?: boolean
  readonly start: (model: LikelihoodModel, settings: z.output<Schema>) => LikelihoodRun<Details>
}): LikelihoodMethod<Schema, Details> {
  const { name, options, takesVectors = false, start } = definition
  return { name, schema: options, takesVectors, start }
}
