/** Which levels of a schedule a run of so many steps visits. Each spacing is one file beside this one. */
import * as z from 'zod'
import { type DiscreteSchedule, type Level, ratioOf, requireDiscrete, type Schedule } from '../../diffusion/schedule.js'
import { expected } from '../../errors.js'
import type { KindSchema } from '../../options/kind-schema.js'

/**
 * @param count how many levels to visit: at least 1, and at most T of a discrete schedule's own times
 * @returns `count` levels, the noisiest first; the clean one, which ends every run, is not among them
 * @throws DpmError DPM_INVALID_OPTION when the schedule is none that the spacing knows how to divide.
 */
export type Spacing = (schedule: Schedule, count: number) => readonly Level[]

export interface SpacingDefinition<Schema extends KindSchema = KindSchema> {
  readonly name: string
  readonly schema: Schema
  /** Whether only whole times of a discrete schedule are visited: then there are no more steps than times. */
  readonly wholeTimes: boolean
  /** How many levels the options name; absent where they name none and `steps` says how many. */
  readonly count?: (settings: z.output<Schema>) => number
  create(settings: z.output<Schema>): Spacing
}

export function defineSpacing<Schema extends KindSchema>(definition: {
  readonly name: string
  readonly options: Schema
  readonly wholeTimes: boolean
  readonly count?: (settings: z.output<Schema>) => number
  readonly create: (settings: z.output<Schema>) => Spacing
}): SpacingDefinition<Schema> {
  const { options, ...rest } = definition
  return { ...rest, schema: options }
}

/**
 * A spacing of whole times.
 * @param times which `count` of the times 0 … total-1 to visit, the largest first
 * @param leastLambda log(alpha / sigma) of the noisiest time that may be visited
 * @throws DpmError DPM_INVALID_OPTION from the spacing when so few times are left.
 */
export function wholeTimes(
  name: string,
  times: (total: number, count: number) => readonly number[],
  leastLambda = Number.NEGATIVE_INFINITY,
): Spacing {
  return (schedule, count) => {
    const discrete: DiscreteSchedule = requireDiscrete(schedule, `The spacing "${name}"`)
    const total = timesAbove(discrete, leastLambda)
    if (count > total) {
      throw expected(
        `at most ${total} steps, the times at which log(alpha / sigma) is at least \`leastLambda\` (${leastLambda}),`,
        'steps',
        count,
        'Use fewer steps, or a smaller `leastLambda`.',
        'DPM_INVALID_OPTION',
      )
    }
    const chosen = count === 1 ? [total - 1] : times(total, count)
    return chosen.map((time) => discrete.level(time))
  }
}

/** How many of a schedule's times, from the cleanest on, have a log(alpha / sigma) of at least so much. */
function timesAbove(schedule: DiscreteSchedule, leastLambda: number): number {
  if (leastLambda === Number.NEGATIVE_INFINITY) return schedule.steps
  let total = schedule.steps
  while (total > 0 && Math.log(1 / ratioOf(schedule.level(total - 1))) < leastLambda) total -= 1
  return total
}

/** An option of spacings that diffusers' solvers lay out so. */
export const leastLambdaOption = z
  .number()
  .optional()
  .describe('times at which log(alpha / sigma) is less are left out (lambda_min_clipped of diffusers)')

/**
 * `count` levels of continuous time from the noisiest to the time `last`.
 * @param between the time after a share, 0 to 1, of the way
 */
export function timesBetween(
  schedule: Schedule,
  count: number,
  last: number,
  between: (share: number, first: number, last: number) => number,
): readonly Level[] {
  const first = schedule.noisiest
  // The ends are exact: powers and roots would miss them by a rounding, and so leave the schedule.
  return Array.from({ length: count }, (_, i) =>
    schedule.level(i === 0 ? first : i === count - 1 ? last : between(i / (count - 1), first, last)),
  )
}

/** An option of spacings that diffusers' multistep solvers lay out so. */
export const dropCleanestOption = z
  .boolean()
  .default(false)
  .describe("lay out one time more, and leave the cleanest out (diffusers' multistep solvers)")

/** Rounds halves to even, as NumPy does: spacings of published code depend on it. */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}

/** `count` times from the i-th smallest, i = 0 … count - 1, largest first. */
export function descending(count: number, time: (i: number) => number): number[] {
  return Array.from({ length: count }, (_, position) => time(count - 1 - position))
}
