/** Options that schedules made of betas share. */
import * as z from 'zod'
import { zeroTerminalSnrOption } from './zero-terminal-snr.js'

export const betaScheduleOptions = {
  steps: z.int().min(1).max(1_000_000).default(1000).describe('T, the number of diffusion times'),
  zeroTerminalSnr: zeroTerminalSnrOption,
}

/** A number that is a beta. */
export const betaOption = z.number().gt(0).lt(1)

/** `count` numbers from `first` to `last`, evenly; `first` alone when count is 1. */
export function evenly(count: number, first: number, last: number): Float64Array {
  const intervals = Math.max(1, count - 1)
  return Float64Array.from({ length: count }, (_, i) => (first * (intervals - i) + last * i) / intervals)
}
