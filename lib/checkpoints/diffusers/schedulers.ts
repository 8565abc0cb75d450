/** The schedulers of diffusers that are ours number for number, with their own defaults. A new one is an entry in one of these. */
import type { Scheduler } from './define-scheduler.js'
import { sigmaSchedulers } from './sigma-schedulers.js'
import { solverSchedulers } from './solver-schedulers.js'
import { stepSchedulers } from './step-schedulers.js'

export const schedulers = {
  ...stepSchedulers,
  ...solverSchedulers,
  ...sigmaSchedulers,
} as const satisfies Record<string, Scheduler>
