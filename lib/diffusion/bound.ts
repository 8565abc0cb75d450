/**
 * Whether a term of the variational bound is part of the loss. Each way is one file in `bounds/`.
 *
 * The term of time t, in nats per element (Ho et al. 2020, arXiv 2006.11239, eq. 5): the divergence of the posterior q(x_{t-1} |
 * x_t, x_0) from the model's step, which has the posterior's mean at the predicted clean image and the variance of the
 * process; at time 0 minus the log of the discretised Gaussian decoder at the image. An error e of the network's output moves
 * the model's mean by meanClean · cOut · e.
 */
import type * as z from 'zod'
import { DpmError } from '../errors.js'
import type { KindSchema } from '../options/kind-schema.js'
import { variationalStep } from './likelihood/variational-step.js'
import { isLearned, type LogVarianceClip, type VarianceKind } from './posterior.js'
import type { PredictionNumbers } from './prediction.js'
import { type DiscreteSchedule, type Level, requireDiscrete, type Schedule } from './schedule.js'

/** How much the bound counts. */
export interface BoundShare {
  /** Factor on the term, which is in nats per element. */
  readonly bound: number
  /** Factor on the weighted distance between output and target. */
  readonly simple: 0 | 1
  /** Whether the term teaches the learned variance alone. */
  readonly detachMean: boolean
}

export interface BoundDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  /** @param steps T; 1 where time is continuous, which no bound but none at all fits */
  share(settings: z.output<Schema>, steps: number): BoundShare
}

export function defineBound<Schema extends KindSchema>(definition: {
  readonly name: string
  readonly options: Schema
  readonly share: (settings: z.output<Schema>, steps: number) => BoundShare
}): BoundDefinition<Schema> {
  return { name: definition.name, schema: definition.options, share: definition.share }
}

/** The columns of a row that are about the bound. */
export interface BoundRow {
  readonly boundScale: number
  readonly boundVariance: number
  readonly boundLow: number
  readonly boundHigh: number
  readonly boundWeight: number
  readonly boundDecoder: number
}

export interface Bound {
  readonly share: BoundShare
  row(level: Level, numbers: PredictionNumbers): BoundRow
}

const emptyRow: BoundRow = {
  boundScale: 0,
  boundVariance: 0,
  boundLow: 0,
  boundHigh: 0,
  boundWeight: 0,
  boundDecoder: 0,
}

/** No term at all. */
export const noBound: Bound = { share: { bound: 0, simple: 1, detachMean: false }, row: () => emptyRow }

/** What the bound needs to know of the process. */
export interface BoundParts {
  readonly schedule: Schedule
  readonly variance: VarianceKind
  readonly clip: LogVarianceClip
}

/** @throws DpmError DPM_INVALID_OPTION when time is continuous, or the bound would teach a variance that is fixed. */
export function createBound(name: string, share: BoundShare, parts: BoundParts): Bound {
  if (share.bound === 0) return { share, row: () => emptyRow }
  const schedule = requireDiscrete(parts.schedule, `The bound "${name}"`)
  if (share.detachMean && !isLearned(parts.variance)) {
    throw new DpmError(
      'DPM_INVALID_OPTION',
      `The bound "${name}" teaches a learned variance alone, but the variance is "${parts.variance}". Set \`variance\` to "learned-range", or \`bound\` to "none" or "vlb".`,
    )
  }
  return { share, row: (level, numbers) => boundRow(schedule, parts, share.bound, level, numbers) }
}

function boundRow(
  schedule: DiscreteSchedule,
  { variance, clip }: BoundParts,
  boundWeight: number,
  { time }: Level,
  { cOut }: PredictionNumbers,
): BoundRow {
  const { meanClean, logVariance, middle, halfRange } = variationalStep(schedule, time, variance, clip)
  return {
    boundScale: meanClean * cOut,
    boundVariance: logVariance,
    boundLow: middle - halfRange,
    boundHigh: middle + halfRange,
    boundWeight,
    boundDecoder: time === 0 ? 1 : 0,
  }
}
