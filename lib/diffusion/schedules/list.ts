/** Every schedule, by kind. A new one is a file beside this one and a line here. */
import type { ScheduleDefinition } from '../define-schedule.js'
import { betas } from './betas.js'
import { constant } from './constant.js'
import { cosine } from './cosine.js'
import { edm } from './edm.js'
import { learned } from './learned.js'
import { linear } from './linear.js'
import { ncsn } from './ncsn.js'
import { quadratic } from './quadratic.js'
import { rectifiedFlow } from './rectified-flow.js'
import { scaledLinear } from './scaled-linear.js'
import { sigmoid } from './sigmoid.js'
import { sigmoidBetas } from './sigmoid-betas.js'
import { subVpSde } from './sub-vp-sde.js'
import { veSde } from './ve-sde.js'
import { vpSde } from './vp-sde.js'
import { waveGrad } from './wavegrad.js'

export const schedules = {
  linear,
  'scaled-linear': scaledLinear,
  quadratic,
  constant,
  cosine,
  sigmoid,
  'sigmoid-betas': sigmoidBetas,
  betas,
  ncsn,
  wavegrad: waveGrad,
  'vp-sde': vpSde,
  'sub-vp-sde': subVpSde,
  've-sde': veSde,
  edm,
  'rectified-flow': rectifiedFlow,
  learned,
} satisfies Record<string, ScheduleDefinition>
