/** The levels that a run visits: from the noisiest to the last one, which is the clean image or the schedule's least noise. */
import * as z from 'zod'
import type { Level, Schedule } from '../diffusion/schedule.js'
import { expected } from '../errors.js'
import { parseOptions } from '../options/options.js'
import { parseSpacing, type SpacingOptions, spacingDefinition } from './spacings/list.js'

export interface StepSelection {
  /** How many steps; when absent what the spacing says, every time of a discrete schedule, 50 where time is continuous. */
  readonly steps?: number | undefined
  /** How the levels of the steps are spread; `trailing` when absent, `uniform` where time is continuous. */
  readonly spacing?: SpacingOptions | undefined
  /** Where the run ends; at the clean image when absent. */
  readonly finalLevel?: FinalLevel | undefined
}

/** Where a run ends, by name: the level, and what its x is multiplied by to be the result. */
const finalLevels = {
  clean: (schedule) => ({ level: schedule.clean, scale: 1 }),
  'least-noise': (schedule) => ({ level: leastNoise(schedule), scale: 1 }),
  'least-noise-over-alpha': (schedule) => {
    const level = leastNoise(schedule)
    return { level, scale: 1 / level.alpha }
  },
} as const satisfies Record<string, (schedule: Schedule) => { readonly level: Level; readonly scale: number }>

export type FinalLevel = keyof typeof finalLevels

export const finalLevelSchema = z.enum(Object.keys(finalLevels) as [FinalLevel, ...FinalLevel[]])

/** What the last x of a run is multiplied by: 1, or 1 / alpha of the last level. */
export function finalScale(schedule: Schedule, finalLevel: FinalLevel = 'clean'): number {
  return finalLevels[finalLevel](schedule).scale
}

function leastNoise(schedule: Schedule): Level {
  return schedule.level(schedule.cleanest)
}

const continuousSteps = 50

/**
 * The levels of a run, the noisiest first and the final one last: one more than there are steps. A run that ends at the least noise
 * may visit it before: its last step then stays there.
 * @throws DpmError DPM_INVALID_ARGUMENT for more steps than the schedule has times, DPM_INVALID_OPTION for an unknown
 *   spacing, or one that does not fit the schedule.
 */
export function selectLevels(schedule: Schedule, selection: StepSelection = {}): readonly Level[] {
  const final = parseOptions(finalLevelSchema, selection.finalLevel ?? 'clean', 'finalLevel')
  const settings = parseSpacing(selection.spacing ?? (schedule.steps === undefined ? 'uniform' : 'trailing'))
  const definition = spacingDefinition(settings)
  const named = definition.count?.(settings)
  if (named !== undefined && selection.steps !== undefined && selection.steps !== named) {
    throw expected(
      `${named}, the number of levels that spacing "${settings.kind}" names,`,
      'steps',
      selection.steps,
      'Leave steps out.',
      'DPM_INVALID_OPTION',
    )
  }
  const count = named ?? selection.steps ?? schedule.steps ?? continuousSteps
  const most = definition.wholeTimes ? (schedule.steps ?? Number.MAX_SAFE_INTEGER) : 1_000_000
  if (!Number.isInteger(count) || count < 1 || count > most) {
    const cure =
      count > most && definition.wholeTimes
        ? `Schedule \`${schedule.name}\` has no more times (\`schedule.steps\` is ${schedule.steps}), and spacing "${settings.kind}" visits none twice: use fewer steps, or a spacing that goes between times, such as "log-snr".`
        : ''
    throw expected(`a whole number from 1 to ${most}`, 'steps', count, cure)
  }
  const visited = requireFalling(definition.create(settings)(schedule, count))
  const { level } = finalLevels[final](schedule)
  const last = visited.at(-1) ?? level
  requireNoLess(last, level)
  // A ratio that is computed misses the level by a rounding.
  const isThere = level.sigma > 0 && last.alpha * level.sigma >= level.alpha * last.sigma * (1 - 1e-12)
  return isThere ? [...visited.slice(0, -1), { ...level, time: last.time }, level] : [...visited, level]
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
  return [...times.map((time) => schedule.level(time)), schedule.clean]
}

/** Comparing alpha_t sigma_s with alpha_s sigma_t compares noise-to-signal ratios without dividing by an alpha of 0. */
function requireFalling(levels: readonly Level[]): readonly Level[] {
  for (const [from, to] of pairs(levels)) {
    if (!(from.alpha * to.sigma < to.alpha * from.sigma)) {
      throw expected('levels with less and less noise', 'spacing', [from, to], 'Use fewer steps, or another spacing.')
    }
  }
  return levels
}

/** The last level may be where the run is already, but for the clean one. */
function requireNoLess(last: Level, final: Level): void {
  if (last.sigma > 0 && last.alpha * final.sigma <= final.alpha * last.sigma * (1 + 1e-12)) return
  throw expected(
    `levels with at least sigma / alpha ${final.sigma / final.alpha}, where the run ends,`,
    'spacing',
    last,
    'Use another spacing, or end at the clean image.',
    'DPM_INVALID_OPTION',
  )
}

/** Neighbours in a list: the steps [from, to] of a run. */
export function pairs<Item>(items: readonly Item[]): readonly (readonly [Item, Item])[] {
  return items.slice(1).map((to, index) => [items[index] as Item, to] as const)
}
