/** A sampler as the catalog lists it: its name, its options and its formula. */
import type * as z from 'zod'
import type { VarianceKind } from '../diffusion/posterior.js'
import type { Level } from '../diffusion/schedule.js'
import type { KindSchema } from '../options/kind-schema.js'
import { defineOptions, type OptionsDefinition } from '../options/options.js'

declare const value: unique symbol

/** A batch of images that a formula speaks of; it exists only when the program runs. */
export interface Value {
  readonly [value]: never
}

/** The words of a formula. Each notes an instruction; none computes a tensor. */
export interface SamplerVerbs<Settings> {
  readonly options: Settings
  /** From the noisiest level to the clean one, the last. */
  readonly levels: readonly Level[]
  /** The variance of ancestral steps that the diffusion settings name. */
  readonly variance: VarianceKind
  /** The clean image that the network predicts from x at a level, guided and clipped as the run asks. */
  denoise(x: Value, level: Level): Value
  /** Sum of coefficient · value. */
  combine(terms: readonly (readonly [number, Value])[]): Value
  /** Standard normals, keyed by the count of the step from the start, 0, 1, 2 … */
  noise(step: number): Value
  /** mask · a + (1 - mask) · b. */
  blend(mask: Value, a: Value, b: Value): Value
  clip(x: Value, low: number, high: number): Value
  /** An input of the run besides x, by name. */
  input(name: string): Value
  /** The end of a step: what progress and previews see. */
  emit(x: Value, clean: Value): void
}

export interface SamplerDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  readonly options: OptionsDefinition<z.output<Schema>>
  /** From x at the first level to x at the last. */
  formula(x: Value, verbs: SamplerVerbs<z.output<Schema>>): Value
}

/**
 * @param schema the options, a strict object whose `kind` is the sampler's name
 * @param formula the paper's loop, in the words of {@link SamplerVerbs}
 */
export function defineSampler<Schema extends KindSchema>(
  name: string,
  schema: Schema,
  formula: (x: Value, verbs: SamplerVerbs<z.output<Schema>>) => Value,
): SamplerDefinition<Schema> {
  return { name, schema, options: defineOptions(name, schema), formula }
}
