/** Every schedule, by kind. A new one is a file beside this one and a line here. */
import type { ScheduleDefinition } from '../define-schedule.js'
import { cosine } from './cosine.js'
import { edm } from './edm.js'
import { linear } from './linear.js'
import { rectifiedFlow } from './rectified-flow.js'
import { subVpSde } from './sub-vp-sde.js'
import { veSde } from './ve-sde.js'
import { vpSde } from './vp-sde.js'

export const schedules = {
  linear,
  cosine,
  'vp-sde': vpSde,
  'sub-vp-sde': subVpSde,
  've-sde': veSde,
  edm,
  'rectified-flow': rectifiedFlow,
} satisfies Record<string, ScheduleDefinition>
