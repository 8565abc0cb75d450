/** The levels that a run visits: from the noisiest to the clean one. */

import { cleanLevel, type Level, type Schedule } from '../diffusion/schedule.js'
import { expected } from '../errors.js'
import { type SpacingName, spacingNames, spacings } from './spacings/list.js'

export interface StepSelection {
  /** How many steps; every time of the schedule when absent. */
  readonly steps?: number | undefined
  /** How the times of fewer steps are spread; `trailing` when absent. */
  readonly spacing?: SpacingName | undefined
}

/**
 * The levels of a run, the noisiest first and the clean one last: one more than there are steps.
 * @throws DpmError DPM_INVALID_ARGUMENT for more steps than the schedule has times, or an unknown spacing.
 */
export function selectLevels(
  schedule: Schedule,
  { steps, spacing = 'trailing' }: StepSelection = {},
): readonly Level[] {
  const total = schedule.steps
  if (!Object.hasOwn(spacings, spacing)) throw expected(`one of ${spacingNames.join(', ')}`, 'spacing', spacing)
  if (steps === undefined)
    return levelsAt(
      schedule,
      Array.from({ length: total }, (_, i) => total - 1 - i),
    )
  if (!Number.isInteger(steps) || steps < 1 || steps > total) {
    throw expected(`a whole number from 1 to ${total}`, 'steps', steps, 'The schedule has no more times.')
  }
  return levelsAt(schedule, steps === 1 ? [total - 1] : spacings[spacing](total, steps))
}

/**
 * The levels at the given times, and the clean one.
 * @param times from the noisiest on, each smaller than the one before
 */
export function levelsAt(schedule: Schedule, times: readonly number[]): readonly Level[] {
  if (times.length === 0) throw expected('at least one time', 'times', times)
  times.forEach((time, i) => {
    if (i > 0 && !(time < (times[i - 1] ?? 0))) throw expected('times that get smaller', 'times', times)
  })
  return [...times.map((time) => schedule.level(time)), cleanLevel]
}

/** Neighbours in a list: the steps [from, to] of a run. */
export function pairs<Item>(items: readonly Item[]): readonly (readonly [Item, Item])[] {
  return items.slice(1).map((to, index) => [items[index] as Item, to] as const)
}
