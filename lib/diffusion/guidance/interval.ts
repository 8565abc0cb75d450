/**
 * Guidance at some levels of noise only (Kynkäänniemi et al. 2024, arXiv 2404.07724): where low < sigma / alpha ≤ high.
 * Elsewhere the scale is 1, which also saves the second evaluation.
 */
import * as z from 'zod'
import { expected } from '../../errors.js'

export const intervalFields = {
  low: z.number().min(0).default(0).describe('no guidance where sigma / alpha is this or less'),
  high: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe('no guidance where sigma / alpha is more; null: no limit'),
}

interface Interval {
  readonly low: number
  readonly high: number | null
}

/** @throws DpmError DPM_INVALID_OPTION for an interval that holds nothing. */
export function requireInterval({ low, high }: Interval): void {
  if (high !== null && high <= low) {
    throw expected(`a number above \`low\` (${low})`, 'guidance.high', high, '', 'DPM_INVALID_OPTION')
  }
}

export function within({ low, high }: Interval, ratio: number): boolean {
  return ratio > low && (high === null || ratio <= high)
}
