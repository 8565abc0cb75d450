/** Betas as a list, one for each time from 0: schedules found by search, or taken from another system. */
import * as z from 'zod'
import { betaOption } from '../beta-options.js'
import { defineSchedule } from '../define-schedule.js'
import { scheduleFromBetas } from '../discrete-schedule.js'
import { zeroTerminalSnrOption } from '../zero-terminal-snr.js'

const betasSchema = z.strictObject({
  kind: z.literal('betas'),
  betas: z.array(betaOption).min(1).max(1_000_000).describe('beta at each time, from time 0'),
  zeroTerminalSnr: zeroTerminalSnrOption,
})

export const betas = defineSchedule({
  name: 'betas',
  options: betasSchema,
  create: (settings) => scheduleFromBetas('betas', Float64Array.from(settings.betas), settings),
})
