/** What spacings of the ratio sigma / alpha share: its two ends, and levels between them. */
import * as z from 'zod'
import { type Level, ratioOf, type Schedule } from '../../diffusion/schedule.js'
import { DpmError, expected } from '../../errors.js'

export const ratioRangeOptions = {
  sigmaMin: z.number().gt(0).optional().describe("least sigma / alpha; the schedule's own when absent"),
  sigmaMax: z.number().gt(0).optional().describe("most sigma / alpha; the schedule's own when absent"),
}

export interface RatioRange {
  readonly sigmaMin: number
  readonly sigmaMax: number
}

/** Ends are given with fewer digits than a schedule computes: 14.6146 is the end of a schedule at 14.61464. */
const tolerance = 1e-4

/**
 * The ends that the options name, or the schedule's own.
 * @throws DpmError DPM_INVALID_OPTION when they lie beyond the schedule's, or the schedule's own is infinite.
 */
export function ratioRange(
  name: string,
  schedule: Schedule,
  options: { readonly sigmaMin?: number | undefined; readonly sigmaMax?: number | undefined },
): RatioRange {
  const [least, most] = endsOf(schedule)
  const { sigmaMin = least, sigmaMax = most } = options
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
  return { sigmaMin, sigmaMax }
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
  { sigmaMin, sigmaMax }: RatioRange,
  count: number,
  between: (share: number) => number,
): readonly Level[] {
  return Array.from({ length: count }, (_, i) => {
    // The ends are exact: powers and roots would miss them by a rounding, and so leave the schedule.
    const ratio = i === 0 ? sigmaMax : i === count - 1 ? sigmaMin : between(i / (count - 1))
    return schedule.atRatio(ratio)
  })
}
