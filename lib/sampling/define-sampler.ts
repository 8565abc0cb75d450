/** A sampler as the catalog lists it: its name, its options and its formula. */
import type * as z from 'zod'
import type { VarianceKind } from '../diffusion/posterior.js'
import type { Level, Schedule } from '../diffusion/schedule.js'
import type { KindSchema } from '../options/kind-schema.js'
import { defineOptions, type OptionsDefinition } from '../options/options.js'
import type { NoisePurpose } from '../random/purposes.js'
import type { AdaptiveProblem, AdaptiveStep } from './adaptive.js'
import type { Measure } from './program.js'
import type { Start } from './recorder.js'

declare const value: unique symbol

/** A batch of images that a formula speaks of; it exists only when the program runs. */
export interface Value {
  readonly [value]: never
}

/** Terms of a sum: coefficient · value. */
export type Terms = readonly (readonly [number, Value])[]

/** The words of a formula. Each notes an instruction; none computes a tensor. */
export interface SamplerVerbs<Settings> {
  readonly options: Settings
  /** From the noisiest level to the clean one, the last. */
  readonly levels: readonly Level[]
  /** Where levels between those of the run come from: `schedule.level(time)`, `schedule.atRatio(sigma / alpha)`. */
  readonly schedule: Schedule
  /** The variance of ancestral steps that the diffusion settings name. */
  readonly variance: VarianceKind
  /** Where x comes from, and whether part of an image is put back after every step: for samplers that need one, or none. */
  readonly start: Start
  readonly inpaint: boolean
  /** The clean image that the network predicts from x at a level, guided and clipped as the run asks. */
  denoise(x: Value, level: Level): Value
  /** The same after its clip, and before it. */
  denoiseUnclipped(x: Value, level: Level): { readonly clean: Value; readonly unclipped: Value }
  /**
   * The same, with the noise of an ancestral step to the level `to`: terms that add noise of the standard deviation that
   * the kind of variance says, fixed or learned; none where `to` is the clean level.
   * @throws DpmError DPM_INVALID_OPTION for a learned variance of a network that has none.
   */
  denoiseAncestral(
    x: Value,
    from: Level,
    to: Level,
    draw: { readonly step: number; readonly variance?: VarianceKind },
  ): { readonly clean: Value; readonly noise: Terms }
  /** Sum of coefficient · value. */
  combine(terms: Terms): Value
  /**
   * Standard normals, keyed by the count of the draw from the start, 0, 1, 2 …, and by what they are for: draws that may
   * share a count have purposes of their own.
   */
  noise(step: number, purpose?: NoisePurpose): Value
  /** mask · a + (1 - mask) · b. */
  blend(mask: Value, a: Value, b: Value): Value
  clip(x: Value, low: number, high: number): Value
  /** a · b, element by element. */
  multiply(a: Value, b: Value): Value
  /** exp(scale · x + shift), element by element. */
  exponential(x: Value, scale: number, shift: number): Value
  /** Every element of a sample: factor · (m(a) / m(b)) ^ power, with m the sample's L2 norm or its standard deviation. */
  ratio(
    a: Value,
    b: Value,
    numbers: { readonly measure: Measure; readonly factor: number; readonly power: number },
  ): Value
  /** An input of the run besides x, by name. */
  input(name: string): Value
  /**
   * The end of a step, once for every level after the first: what progress and previews see.
   * @returns the x to go on with, which may be another where the run edits an image.
   */
  emit(x: Value, clean: Value): Value
}

/** A sampler whose whole run can be written down before it begins. */
export interface RecordedSampler<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  readonly options: OptionsDefinition<z.output<Schema>>
  readonly adaptive: false
  /** From x at the first level to x at the last. */
  formula(x: Value, verbs: SamplerVerbs<z.output<Schema>>): Value
}

/** A sampler that decides on its steps while it runs, for every sample on its own. */
export interface AdaptiveSampler<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  readonly options: OptionsDefinition<z.output<Schema>>
  readonly adaptive: true
  solve(problem: AdaptiveProblem, settings: z.output<Schema>): AsyncGenerator<AdaptiveStep, Float64Array, undefined>
}

export type SamplerDefinition<Schema extends KindSchema = KindSchema> =
  | RecordedSampler<Schema>
  | AdaptiveSampler<Schema>

/**
 * @param schema the options, a strict object whose `kind` is the sampler's name
 * @param formula the paper's loop, in the words of {@link SamplerVerbs}
 */
export function defineSampler<Schema extends KindSchema>(
  name: string,
  schema: Schema,
  formula: (x: Value, verbs: SamplerVerbs<z.output<Schema>>) => Value,
): RecordedSampler<Schema> {
  return { name, schema, options: defineOptions(name, schema), adaptive: false, formula }
}

/** The same for a sampler that decides on its steps while it runs. */
export function defineAdaptiveSampler<Schema extends KindSchema>(
  name: string,
  schema: Schema,
  solve: AdaptiveSampler<Schema>['solve'],
): AdaptiveSampler<Schema> {
  return { name, schema, options: defineOptions(name, schema), adaptive: true, solve }
}
