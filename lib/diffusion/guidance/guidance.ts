/** How several evaluations of networks become one output F at a level. Each kind of guidance is one file beside this one. */
import type * as z from 'zod'
import type { KindSchema } from '../../options/kind-schema.js'
import type { Level } from '../schedule.js'

/** Whose output counts: the run's own condition, or the null class. Native code knows both by these names. */
export type GuidanceCondition = 'given' | 'null'

/** One evaluation that guidance asks for. */
export interface GuidanceEvaluation {
  /** 0: the network that is sampled; 1: the weaker one of autoguidance. */
  readonly network: number
  readonly condition: GuidanceCondition
}

export interface GuidedOutput {
  /** F = sum of coefficient · evaluation; evaluations that would count nothing are left out. The first is the plain one. */
  readonly terms: readonly (readonly [number, GuidanceEvaluation])[]
  /**
   * Share of the guided output that is scaled, sample by sample, to the standard deviation of the first evaluation
   * (Lin et al. 2023, arXiv 2305.08891, eq. 15–16); 0 leaves it as it is.
   */
  readonly rescale: number
}

/** What guidance asks for at a level, when the run's condition is `given`, or `null` for an unconditional run. */
export type Guidance = (level: Level, condition: GuidanceCondition) => GuidedOutput

export interface GuidanceDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  /** Networks that a run needs besides the sampled one. */
  readonly networks: number
  /** Whether it needs classes and a null class to guide away from. */
  readonly needsNull: (settings: z.output<Schema>) => boolean
  create(settings: z.output<Schema>): Guidance
}

export function defineGuidance<Schema extends KindSchema>(definition: {
  readonly name: string
  readonly options: Schema
  readonly networks: number
  readonly needsNull: (settings: z.output<Schema>) => boolean
  readonly create: (settings: z.output<Schema>) => Guidance
}): GuidanceDefinition<Schema> {
  const { options, ...rest } = definition
  return { ...rest, schema: options }
}

/** scale · strong + (1 - scale) · weak, without what counts nothing. */
export function extrapolate(
  scale: number,
  strong: GuidanceEvaluation,
  weak: GuidanceEvaluation,
): readonly (readonly [number, GuidanceEvaluation])[] {
  if (scale === 1) return [[1, strong]]
  if (scale === 0) return [[1, weak]]
  return [
    [scale, strong],
    [1 - scale, weak],
  ]
}
