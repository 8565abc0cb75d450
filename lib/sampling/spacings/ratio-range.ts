/** What spacings of the ratio sigma / alpha share: its two ends, and levels between them. */
import * as z from 'zod'
import { type Level, ratioOf, type Schedule } from '../../diffusion/schedule.js'
import { DpmError, expected } from '../../errors.js'
import { leadingSpacing } from './leading.js'
import { roundHalfToEven, type Spacing } from './spacing.js'
import { trailingSpacing } from './trailing.js'

/** The time that the network is told at a level that lies at `time`. */
const toldTimes = {
  between: (time) => time,
  nearest: roundHalfToEven,
  // The noisiest time itself, which a rounding may have missed, is not meant.
  below: (time) => Math.floor(time + 1e-9),
} as const satisfies Record<string, (time: number) => number>
type ToldTime = keyof typeof toldTimes

/** Between which levels the ratios are spread, where the options name none. */
const rangeEnds = {
  schedule: (schedule) => [schedule.noisiest, schedule.cleanest],
  leading: (schedule, count, offset) =>
    endsOfLevels(leadingSpacing.create({ kind: 'leading', offset, dropCleanest: false }), schedule, count),
  trailing: (schedule, count) => endsOfLevels(trailingSpacing.create({ kind: 'trailing' }), schedule, count),
} as const satisfies Record<string, (schedule: Schedule, count: number, offset: number) => readonly [number, number]>
type RangeEnds = keyof typeof rangeEnds

function endsOfLevels(spacing: Spacing, schedule: Schedule, count: number): readonly [number, number] {
  const levels = spacing(schedule, count)
  return [levels[0]?.time ?? schedule.noisiest, levels.at(-1)?.time ?? schedule.cleanest]
}

export const ratioRangeOptions = {
  sigmaMin: z.number().gt(0).optional().describe("least sigma / alpha; the schedule's own when absent"),
  sigmaMax: z.number().gt(0).optional().describe("most sigma / alpha; the schedule's own when absent"),
  ends: z
    .enum(Object.keys(rangeEnds) as [RangeEnds, ...RangeEnds[]])
    .default('schedule')
    .describe(
      'what absent ends are taken from: the schedule, or the first and the last time that the spacing leading or trailing visits (diffusers)',
    ),
  offset: z.int().min(0).max(1_000_000).default(0).describe('that of the spacing leading, where it says the ends'),
  times: z
    .enum(Object.keys(toldTimes) as [ToldTime, ...ToldTime[]])
    .default('between')
    .describe(
      'what the network is told at a level between whole times: where it lies, or the nearest of them, or the one below',
    ),
}

export interface RatioRangeSettings {
  readonly sigmaMin?: number | undefined
  readonly sigmaMax?: number | undefined
  readonly ends: RangeEnds
  readonly offset: number
  readonly times: ToldTime
}

export interface RatioRange {
  readonly sigmaMin: number
  readonly sigmaMax: number
  readonly times: ToldTime
}

/** Ends are given with fewer digits than a schedule computes: 14.6146 is the end of a schedule at 14.61464. */
const tolerance = 1e-4

/**
 * The ends that the options name, or the schedule's own.
 * @param count how many levels are visited
 * @throws DpmError DPM_INVALID_OPTION when they lie beyond the schedule's, or the schedule's own is infinite.
 */
export function ratioRange(name: string, schedule: Schedule, options: RatioRangeSettings, count: number): RatioRange {
  const [least, most] = endsOf(schedule)
  const [first, last] = rangeEnds[options.ends](schedule, count, options.offset)
  const { sigmaMin = ratioOf(schedule.level(last)), sigmaMax = ratioOf(schedule.level(first)) } = options
  const refuse = (what: string, cure: string): DpmError =>
    new DpmError('DPM_INVALID_OPTION', `Spacing "${name}" ${what} with schedule \`${schedule.name}\`. ${cure}`)
  if (!Number.isFinite(sigmaMax)) {
    throw refuse(
      'divides sigma / alpha, which has no end where alpha is 0, as at the last time',
      'Give a sigmaMax, or choose the spacing "trailing" or "uniform".',
    )
  }
  if (sigmaMin < least * (1 - tolerance) || sigmaMax > most * (1 + tolerance)) {
    throw refuse(
      `goes from sigma / alpha ${sigmaMax} to ${sigmaMin}, beyond the ${most} to ${least} that there is`,
      'Choose a narrower range, or another schedule.',
    )
  }
  if (!(sigmaMin < sigmaMax)) {
    throw refuse(`goes from sigma / alpha ${sigmaMax} to ${sigmaMin}`, 'Choose a sigmaMin below sigmaMax.')
  }
  return { sigmaMin, sigmaMax, times: options.times }
}

/** The ratio itself. @throws DpmError DPM_INVALID_OPTION when it lies beyond the ends of the schedule. */
export function requireRatio(name: string, schedule: Schedule, ratio: number): number {
  const [least, most] = endsOf(schedule)
  if (ratio >= least * (1 - tolerance) && ratio <= most * (1 + tolerance)) return ratio
  throw expected(
    `sigma / alpha from ${least} to ${most}, the ends of schedule "${schedule.name}",`,
    `spacing ${name}`,
    ratio,
    '',
    'DPM_INVALID_OPTION',
  )
}

function endsOf(schedule: Schedule): readonly [number, number] {
  return [ratioOf(schedule.level(schedule.cleanest)), ratioOf(schedule.level(schedule.noisiest))]
}

/**
 * `count` levels from the most to the least noise.
 * @param between the ratio after a share, 0 to 1, of the way
 */
export function atRatios(
  schedule: Schedule,
  { sigmaMin, sigmaMax, times }: RatioRange,
  count: number,
  between: (share: number) => number,
): readonly Level[] {
  return Array.from({ length: count }, (_, i) => {
    // The ends are exact: powers and roots would miss them by a rounding, and so leave the schedule.
    const ratio = i === 0 ? sigmaMax : i === count - 1 ? sigmaMin : between(i / (count - 1))
    const level = schedule.atRatio(ratio)
    const time = schedule.steps === undefined ? level.time : toldTimes[times](level.time)
    return time === level.time ? level : Object.freeze({ ...level, time })
  })
}
